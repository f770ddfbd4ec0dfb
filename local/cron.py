"""Cron triggers: one timer of the loop, set to the next tick of any. Ticks missed while the server was down are not
made up."""

from __future__ import annotations

import hashlib
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemill.model import CronTrigger, FunctionSpec

if TYPE_CHECKING:
    from tidemill.ports import Clock

_AHEAD_MOST = 60_000  # a clock that was set, or a machine that slept, is noticed within the minute


class Cron:
    def __init__(
        self, loop: AbstractEventLoop, clock: Clock, fire: Callable[[FunctionSpec, CronTrigger, int], None]
    ) -> None:
        """`fire` is called with each tick: the function, its trigger, and the tick's own time (without jitter)."""
        self._loop = loop
        self._clock = clock
        self._fire = fire
        self._triggers: list[tuple[FunctionSpec, CronTrigger]] = []
        self._done = clock.now()  # ticks that fire at or before this have been fired, or missed
        self._handle: TimerHandle | None = None

    def replace(self, functions: Iterable[FunctionSpec]) -> None:
        """Take these functions' cron triggers in place of all others."""
        self._triggers = [
            (spec, trigger) for spec in functions for trigger in spec.triggers if isinstance(trigger, CronTrigger)
        ]
        if self._triggers or self._handle is not None:
            self._run()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        """Fire what is due, and set the timer to what is due next."""
        self.stop()
        now = self._clock.now()
        following = now + _AHEAD_MOST
        for spec, trigger in self._triggers:
            for tick in ticks(trigger, self._done):
                at = tick + jitter(spec.id, trigger, tick)
                if at > now:
                    following = min(following, at)
                    if tick > now:
                        break
                elif at > self._done:
                    self._fire(spec, trigger, tick)
        self._done = now
        if self._triggers:
            self._handle = self._loop.call_later((following - now) / 1_000, self._run)


def ticks(trigger: CronTrigger, after: int) -> Iterable[int]:
    """The times of the trigger, endlessly, from the first that may fire later than `after`."""
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    start = datetime.fromtimestamp((after - trigger.jitter) / 1_000, UTC).astimezone(ZoneInfo(trigger.timezone))
    for moment in CronSim(trigger.cron, start):
        yield int(moment.timestamp() * 1_000)


def jitter(function_id: str, trigger: CronTrigger, tick: int) -> int:
    """Up to `trigger.jitter`: the same for the same tick, different from one tick and function to the next."""
    if not trigger.jitter:
        return 0
    digest = hashlib.sha256(f"{function_id} {trigger.cron} {tick}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (trigger.jitter + 1)
