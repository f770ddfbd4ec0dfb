"""The port of paused functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tidemill.model import Pause


class Pauses(Protocol):
    """Which functions are paused, and the runs that they hold meanwhile. What `of` tells may be a minute old."""

    def of(self, function_id: str) -> Pause | None: ...

    def all(self) -> dict[str, Pause]:
        """By function, never stale."""
        ...

    def pause(self, function_id: str, pause: Pause) -> None: ...

    def resume(self, function_id: str) -> None:
        """From now on the function is among the `resumed`, as long as runs of it are noted here."""
        ...

    def hold(self, function_id: str, run_id: str, created_at: int) -> None:
        """Note a run that is to be looked at when the function is resumed. Harmless to do twice."""
        ...

    def held(self, function_id: str, limit: int) -> list[tuple[int, str]]:
        """The first runs that are noted, oldest first, as (created_at, run_id)."""
        ...

    def release(self, function_id: str, runs: Iterable[tuple[int, str]]) -> None:
        """Forget these notes."""
        ...

    def resumed(self) -> list[str]:
        """Functions that are not paused, and of which runs are noted."""
        ...

    def swap_tick(self, function_id: str, tick: str, at: int, run_id: str) -> str | None:
        """Keep this tick of a cron trigger, if it is the latest; the run of the tick that is not kept for it."""
        ...


class NoPauses:
    """Nothing is ever paused: for worlds that nobody pauses anything in."""

    def of(self, function_id: str) -> Pause | None:  # noqa: ARG002
        return None

    def all(self) -> dict[str, Pause]:
        return {}

    def pause(self, function_id: str, pause: Pause) -> None: ...

    def resume(self, function_id: str) -> None: ...

    def hold(self, function_id: str, run_id: str, created_at: int) -> None: ...

    def held(self, function_id: str, limit: int) -> list[tuple[int, str]]:  # noqa: ARG002
        return []

    def release(self, function_id: str, runs: Iterable[tuple[int, str]]) -> None: ...

    def resumed(self) -> list[str]:
        return []

    def swap_tick(self, function_id: str, tick: str, at: int, run_id: str) -> str | None:  # noqa: ARG002
        return None
