"""Wake-ups: one timer of the loop, set to the earliest due time in the table. Nothing is kept in memory, nothing polls.

A run that is found due is put into the ready queue; its due time moves on only when it is claimed there. So that it
is not found again by every look in between, looks go on from where the last one ended (`_seen`). What becomes due
behind that is told by `note`, and once a minute a look goes over everything, whatever has been missed. When many
runs are queued the timer pauses: the rest stay in the table until those have been taken up.
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
        self._seen = (0, 0)  # (due, n) up to which all that is due has been found
        self._whole = 0  # when a look last went over everything
        self._woken: set[str] = set()  # found due, and still in the ready queue
        self.at: int | None = None  # when the timer fires next
        self._handle: TimerHandle | None = None
        self._paused = False
        self.wake: Callable[[str, str], None] = ready.put  # told of each run that is found due

    def note(self, at: int) -> None:
        """Some run is to be looked at then."""
        if at <= self._seen[0]:
            self._seen = (at - 1, _LAST)
        if not self._paused and (self.at is None or at < self.at):
            self._set(at)

    def again(self) -> None:
        """Look over everything that is due: what was done about it has not been kept."""
        self._seen = (0, 0)
        self._set(self._clock.now())

    def clock_set(self) -> None:
        """Time has jumped ahead: what fell due meanwhile is late already."""
        self.fire()

    def popped(self, run_id: str) -> None:
        """The run has left the ready queue."""
        self._woken.discard(run_id)
        if self._paused and len(self._woken) < _QUEUED_MOST // 2:
            self._paused = False
            self._set(self._clock.now())

    def fire(self) -> None:
        """Queue what is due, and set the timer to what is due next."""
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
        """When to look again."""
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
        delay = min(max(0, at - self._clock.now()), _MINUTE) / 1_000  # a machine that slept, or a clock set anew
        self._handle = self._loop.call_later(delay, self.fire)
