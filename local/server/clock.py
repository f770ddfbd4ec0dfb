"""The platform's clock, which never goes back, even if the machine's clock is set.

Receipt times order events and are compared with due times, so time that goes back would hide events from waits and
delay sleeping runs. So time is the monotonic clock plus an offset that only grows. Once a second the wall
clock is compared: if it is ahead (it was set, or the machine has slept) the offset follows at once; if it is behind,
time continues until the wall clock has caught up. Only cron triggers follow the wall clock.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence
from typing import Protocol

NS = 1_000_000  # in a millisecond
_EACH = 1.0  # seconds between two comparisons
_NOTABLE = 1_000  # a larger difference means that the clock was set, not adjusted (milliseconds)


class PlatformClock:
    """`floor`: the latest time, in milliseconds, that an earlier process has given out."""

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
        floor: int = 0,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._apart = wall() - monotonic()  # at the last comparison
        self.offset = max(self._apart, floor * NS - monotonic())

    def now(self) -> int:
        return (self._monotonic() + self.offset) // NS

    def compare(self) -> int:
        """Compare with the wall clock. Returns by how many milliseconds it was set since then, ahead or back."""
        apart = self._wall() - self._monotonic()
        set_by, self._apart = apart - self._apart, apart
        self.offset = max(self.offset, apart)
        return int(set_by / NS)


class SharedClock:
    """The same time in another process: `offset` reads the server's offset in shared memory."""

    def __init__(self, offset: Callable[[], int], monotonic: Callable[[], int] = time.monotonic_ns) -> None:
        self._offset, self._monotonic = offset, monotonic

    def now(self) -> int:
        return (self._monotonic() + self._offset()) // NS


class Minded(Protocol):
    """A user of timers that must check the clock again when it was set."""

    def clock_set(self) -> None: ...


class ClockWatch:
    """Compares the clocks every second, and calls `each` with the time."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: PlatformClock,
        minded: Sequence[Minded],
        each: Callable[[int], None],
        say: Callable[[str], None],
    ) -> None:
        self._loop, self._clock = loop, clock
        self._minded, self._each, self._say = minded, each, say
        self._handle: TimerHandle | None = None

    def look(self) -> None:
        self._handle = self._loop.call_later(_EACH, self.look)
        set_by = self._clock.compare()
        if abs(set_by) >= _NOTABLE:
            self._say(_told(set_by))
            for each in self._minded:
                each.clock_set()
        self._each(self._clock.now())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _told(set_by: int) -> str:
    seconds = f"{abs(set_by) / 1_000:,.0f} s"
    if set_by > 0:
        return f"the clock went ahead by {seconds}, or the machine has slept: what fell due meanwhile goes on now"
    return f"the clock was set back by {seconds}: Tidemill's time goes on from where it was, cron follows the clock"
