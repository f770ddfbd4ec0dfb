"""Fires cron triggers with one timer of the loop, set to the next tick by the wall clock.

Ticks missed while the server was down are not made up. Of those missed while the machine slept, or because the clock
was set ahead, the latest fires. A clock that is set back passes ticks again: the id of a tick's event
derives from the tick, so that each starts its run once.
"""

from __future__ import annotations

import hashlib
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemill.model import CronTrigger, FunctionSpec

if TYPE_CHECKING:
    from tidemill.ports import Clock

_AHEAD_MOST = 60_000  # a clock that was set, or a machine that slept, is noticed within the minute
_SLACK = 10_000  # milliseconds by which the timer may be late on a busy machine without having missed a tick


class Cron:
    def __init__(
        self, loop: AbstractEventLoop, clock: Clock, fire: Callable[[FunctionSpec, CronTrigger, int], None]
    ) -> None:
        """`fire` is called with each tick: the function, its trigger, and the tick's time (without jitter)."""
        self._loop = loop
        self._clock = clock
        self._fire = fire
        self._triggers: list[tuple[FunctionSpec, CronTrigger]] = []
        self._done = clock.now()  # ticks that fire at or before this have been fired, or missed
        self._handle: TimerHandle | None = None

    def clock_set(self) -> None:
        """The clock was set: the next tick is nearer, or farther."""
        if self._triggers:
            self._run()

    def replace(self, functions: Iterable[FunctionSpec]) -> None:
        """Replace all cron triggers by those of these functions."""
        if not self._triggers:
            self._done = self._clock.now()  # a new trigger has missed nothing
        self._triggers = [
            (spec, trigger) for spec in functions for trigger in spec.triggers if isinstance(trigger, CronTrigger)
        ]
        if self._triggers or self._handle is not None:
            self._run()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        """Fire the due ticks, and set the timer to the next."""
        self.stop()
        now = self._clock.now()
        self._done = min(self._done, now)
        following = now + _AHEAD_MOST
        missed = now - self._done > _AHEAD_MOST + _SLACK
        for spec, trigger in self._triggers:
            for tick in [latest(spec.id, trigger, now)] if missed else self._due(spec, trigger, now):
                if tick is not None and tick + jitter(spec.id, trigger, tick) > self._done:
                    self._fire(spec, trigger, tick)
            following = min(following, self._next(spec, trigger, now))
        self._done = now
        if self._triggers:
            self._handle = self._loop.call_later((following - now) / 1_000, self._run)

    def _due(self, spec: FunctionSpec, trigger: CronTrigger, now: int) -> Iterator[int]:
        """The ticks that fire until now, and may not have fired."""
        for tick in ticks(trigger, self._done):
            if tick > now:
                return
            if tick + jitter(spec.id, trigger, tick) <= now:
                yield tick

    def _next(self, spec: FunctionSpec, trigger: CronTrigger, now: int) -> int:
        """When the trigger fires next, or later than that by less than the timer's longest time."""
        following = now + _AHEAD_MOST
        for tick in ticks(trigger, now):
            at = tick + jitter(spec.id, trigger, tick)
            if at > now:
                following = min(following, at)
            if tick > now:
                return following
        return following


def ticks(trigger: CronTrigger, after: int, *, backwards: bool = False) -> Iterator[int]:
    """The endless times of the trigger from the first that may fire later than `after`; or backward from there."""
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    back = 0 if backwards else trigger.jitter
    start = datetime.fromtimestamp((after - back) / 1_000, UTC).astimezone(ZoneInfo(trigger.timezone))
    for moment in CronSim(trigger.cron, start, reverse=backwards):
        yield int(moment.timestamp() * 1_000)


def latest(function_id: str, trigger: CronTrigger, now: int) -> int | None:
    """The latest tick of those that fire by now."""
    for tick in ticks(trigger, now + 1, backwards=True):
        if tick + jitter(function_id, trigger, tick) <= now:
            return tick
    return None


def jitter(function_id: str, trigger: CronTrigger, tick: int) -> int:
    """Up to `trigger.jitter`: the same for the same tick, different from one tick and function to the next."""
    if not trigger.jitter:
        return 0
    digest = hashlib.sha256(f"{function_id} {trigger.cron} {tick}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (trigger.jitter + 1)
