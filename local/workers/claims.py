"""Which claims are alive: those whose slot still is at work on them, over a connection that still is open."""

from __future__ import annotations

from tidemill.core.journal import Claimed

FOREVER = 2**53  # a claim's end: as long as its connection lives


class Claims:
    """The `Liveness` of the local world. Claims of another server's time are dead, whatever they say."""

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._count = 0
        self._alive: set[str] = set()

    def new(self) -> str:
        """The `by` of a new claim; alive until `drop`."""
        self._count += 1
        by = f"{self._boot}/{self._count}"
        self._alive.add(by)
        return by

    def drop(self, by: str) -> None:
        self._alive.discard(by)

    def alive(self, claim: Claimed, now: int) -> bool:  # noqa: ARG002  no clock is asked: the connection tells
        return claim.by in self._alive
