"""Wake-ups: one timer of the loop, set to the earliest due time in the table. Nothing is kept in memory, nothing polls.

A run that is found overdue is put into the ready queue; its due time moves on when it is claimed there. Until then it
is found again by every look, so looks are bounded by how many such runs are queued, and pause when those are many.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from typing import TYPE_CHECKING

from tidemill_local.ready import ReadyQueue
from tidemill_local.store.errors import StoreError

if TYPE_CHECKING:
    from tidemill.ports import Clock
    from tidemill_local.store.runs import SqliteRuns
    from tidemill_local.tick import Tick

_PAGE = 200
_QUEUED_MOST = 1_000


class Timers:
    def __init__(self, loop: AbstractEventLoop, runs: SqliteRuns, clock: Clock, ready: ReadyQueue, tick: Tick) -> None:
        self._loop = loop
        self._runs = runs
        self._clock = clock
        self._ready = ready
        self._tick = tick
        self._woken: set[str] = set()  # found overdue, and still in the ready queue
        self._at: int | None = None
        self._handle: TimerHandle | None = None
        self._paused = False

    def note(self, at: int) -> None:
        """Some run is to be looked at then."""
        if self._at is None or at < self._at:
            self._set(at)

    def popped(self, run_id: str) -> None:
        """The run has left the ready queue."""
        self._woken.discard(run_id)
        if self._paused and len(self._woken) < _QUEUED_MOST // 2:
            self._paused = False
            self._set(self._clock.now())

    def fire(self) -> None:
        """Queue what is due, and set the timer to what is due next."""
        self._handle, self._at = None, None
        now = self._clock.now()
        limit = len(self._woken) + _PAGE
        try:
            heads = self._runs.overdue(now, limit)
            following = now if len(heads) == limit else self._runs.next_due(now)
        except StoreError as error:
            self._tick.fail(error)
            self._set(now + 1_000)
            return
        for head in heads:
            self._woken.add(head.run_id)
            self._ready.put(head.run_id, head.function_id)
        if heads:
            self._tick.arm()
        self._paused = len(self._woken) >= _QUEUED_MOST
        if following is not None and not self._paused:
            self._set(following)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _set(self, at: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._at = at
        delay = max(0, at - self._clock.now()) / 1_000
        self._handle = self._loop.call_later(delay, self.fire)
