"""Cron triggers on virtual time: the next firings and their times."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidemill.model import CronTrigger, FunctionSpec
from tidemill_local.server.cron import jitter, ticks


@dataclass(frozen=True, order=True)
class Firing:
    """The trigger fires at `at`, for its tick of the time `tick` (the jitter apart)."""

    at: int
    function_id: str
    tick: int
    spec: FunctionSpec = field(compare=False)
    trigger: CronTrigger = field(compare=False)


class Ticks:
    """The firings of all cron triggers after a time, in order."""

    def __init__(self, functions: Iterable[FunctionSpec], after: int) -> None:
        triggers = [(spec, t) for spec in functions for t in spec.triggers if isinstance(t, CronTrigger)]
        self._sources = [_Source(spec, trigger, after) for spec, trigger in triggers]

    def next_at(self) -> int | None:
        return min((source.next().at for source in self._sources), default=None)

    def due(self, now: int) -> list[Firing]:
        """The firings at or before now; each is returned once."""
        found: list[Firing] = []
        for source in self._sources:
            while source.next().at <= now:
                found.append(source.pop())
        return sorted(found)


class _Source:
    """One trigger. Jitter may exceed the interval, so ticks may fire out of order."""

    def __init__(self, spec: FunctionSpec, trigger: CronTrigger, after: int) -> None:
        self._spec = spec
        self._trigger = trigger
        self._after = after
        self._ticks = iter(ticks(trigger, after))
        self._latest = after - trigger.jitter
        self._heap: list[Firing] = []

    def next(self) -> Firing:
        while not self._heap or self._latest < self._heap[0].at:
            tick = next(self._ticks)
            self._latest = tick
            at = tick + jitter(self._spec.id, self._trigger, tick)
            if at > self._after:
                heapq.heappush(self._heap, Firing(at, self._spec.id, tick, self._spec, self._trigger))
        return self._heap[0]

    def pop(self) -> Firing:
        return heapq.heappop(self._heap)
