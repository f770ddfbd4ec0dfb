"""Knows which claims are alive: those whose slot still works on them over an open connection."""

from __future__ import annotations

from tidemill.core.journal import Claimed

FOREVER = 2**53  # the expiry of a claim: it lives as long as its connection


class Claims:
    """The `Liveness` of the local world. Claims of an earlier server are dead, whatever their expiry."""

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
