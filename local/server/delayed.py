"""Lets delayed events take effect, with one timer of the loop, set to the earliest due time in the table."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.engine.intake import delayed, receive
from tidemill_local.store.errors import StoreError

if TYPE_CHECKING:
    from tidemill.ports import World
    from tidemill_local.server.tick import Tick
    from tidemill_local.store.events import SqliteEvents

_PAGE = 200
_PART = 50  # waits that are processed in one turn of the loop
_MINUTE = 60_000


class Delayed:
    """Only the current work is kept in memory: after a crash the table says what is due."""

    def __init__(
        self, loop: AbstractEventLoop, world: World, events: SqliteEvents, tick: Tick, trouble: Callable[[str], object]
    ) -> None:
        self._loop = loop
        self._world = world
        self._events = events
        self._tick = tick
        self._trouble = trouble
        self._at: int | None = None  # when the timer fires next
        self._handle: TimerHandle | None = None
        self._hand: deque[tuple[str, receive.Mark | None]] = deque()  # current events and their progress
        events.noted = self.note

    def note(self, at: int) -> None:
        """Some event is due at this time."""
        if self._at is None or at < self._at:
            self._set(at)

    def clock_set(self) -> None:
        """The clock has jumped ahead."""
        self.fire()

    def again(self) -> None:
        """The last work was not committed: repeat it."""
        self._hand.clear()
        self.fire()

    def fire(self) -> None:
        """Process due events; then set the timer to the next."""
        self.stop()
        try:
            following = self._part(self._world.clock.now())
        except StoreError as error:  # the work of this turn was not committed
            self._hand.clear()
            self._tick.fail(error)
            following = self._world.clock.now() + 1_000
        if following is not None:
            self._set(following)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._at = None, None

    def _part(self, now: int) -> int | None:
        """Do a part of the work; return when to continue."""
        if not self._hand:
            self._hand.extend((event_id, None) for event_id, _ in self._events.delayed(now, _PAGE))
        if not self._hand:
            return self._events.next_due()
        self._tick.arm()
        event_id, mark = self._hand.popleft()
        try:
            mark = self._come(event_id, mark)
        except StoreError:
            raise
        except Exception as error:  # it must not block the others
            self._trouble(f"event {event_id} is due, and could not take effect: {type(error).__name__}: {error}")
            self._events.redue(event_id, now + _MINUTE)
            mark = None
        if mark is not None:
            self._hand.appendleft((event_id, mark))
        return now

    def _come(self, event_id: str, mark: receive.Mark | None) -> receive.Mark | None:
        event = self._events.get(event_id)
        return delayed.come(self._world, event, mark, stopping=_after(_PART)) if event is not None else None

    def _set(self, at: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._at = at
        delay = min(max(0, at - self._world.clock.now()), _MINUTE) / 1_000  # or the clock is set
        self._handle = self._loop.call_later(delay, self.fire)


def _after(count: int) -> Callable[[], bool]:
    """A function that is true from a number of calls on."""
    asked = iter(range(1, count))
    return lambda: next(asked, None) is None
