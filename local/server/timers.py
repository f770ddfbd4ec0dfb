"""Wakes due runs with one timer of the loop, set to the earliest due time in the table, without polling.

A due run is put into the ready queue; its due time moves only when it is claimed. To avoid finding it again in
between, each search continues where the last one ended (`_seen`). `note` reports earlier due times, and once a minute a
search covers everything. When many runs are queued the timer pauses: the rest stay in the table until the queue is
shorter.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill_local.server.ready import ReadyQueue
from tidemill_local.store.errors import StoreError

if TYPE_CHECKING:
    from tidemill.ports import Clock
    from tidemill_local.server.tick import Tick
    from tidemill_local.store.runs import SqliteRuns

_PAGE = 200
_QUEUED_MOST = 1_000
_MINUTE = 60_000
_LAST = 2**62  # after every row of one due time


class Timers:
    def __init__(self, loop: AbstractEventLoop, runs: SqliteRuns, clock: Clock, ready: ReadyQueue, tick: Tick) -> None:
        self._loop = loop
        self._runs = runs
        self._clock = clock
        self._tick = tick
        self._seen = (0, 0)  # (due, n) up to which all due runs have been found
        self._whole = 0  # when a search last covered everything
        self._woken: set[str] = set()  # found due, and still in the ready queue
        self.at: int | None = None  # when the timer fires next
        self._handle: TimerHandle | None = None
        self._paused = False
        self.wake: Callable[[str, str], None] = ready.put  # called for each due run

    def note(self, at: int) -> None:
        """Some run is due at this time."""
        if at <= self._seen[0]:
            self._seen = (at - 1, _LAST)
        if not self._paused and (self.at is None or at < self.at):
            self._set(at)

    def again(self) -> None:
        """Search everything again: the work of the last turn was not committed."""
        self._seen = (0, 0)
        self._set(self._clock.now())

    def clock_set(self) -> None:
        """The clock has jumped ahead: runs may be overdue."""
        self.fire()

    def popped(self, run_id: str) -> None:
        """The run has left the ready queue."""
        self._woken.discard(run_id)
        if self._paused and len(self._woken) < _QUEUED_MOST // 2:
            self._paused = False
            self._set(self._clock.now())

    def fire(self) -> None:
        """Queue the due runs, and set the timer to the next."""
        self.stop()
        self._handle, self.at = None, None
        now = self._clock.now()
        if now - self._whole > _MINUTE:
            self._seen, self._whole = (0, 0), now
        try:
            following = self._look(now)
        except StoreError as error:
            self._tick.fail(error)
            following = now + 1_000
        self._paused = len(self._woken) >= _QUEUED_MOST
        if following is not None and not self._paused:
            self._set(following)

    def _look(self, now: int) -> int | None:
        """Search for due runs; return when to search again."""
        found = self._runs.waking(self._seen, now, _PAGE)
        for _, _, run_id, function_id in found:
            self._woken.add(run_id)
            self.wake(run_id, function_id)
        if found:
            self._tick.arm()
        if len(found) == _PAGE:
            self._seen = found[-1][:2]
            return now
        self._seen = (now, _LAST)
        return self._runs.next_due(now)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _set(self, at: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self.at = at
        delay = min(max(0, at - self._clock.now()), _MINUTE) / 1_000  # or the clock is set
        self._handle = self._loop.call_later(delay, self.fire)
