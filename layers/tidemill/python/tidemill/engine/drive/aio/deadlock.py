"""Detects async code that nothing can wake any more, and raises DeadlockError in it.

If a loop is idle without a timer, a file, an executing or a blocked step, only another thread may wake it. The
loop's own threads are waited for as long as they work; one that the code has started since has `THREADS` seconds, and
all others `ALONE`.
"""

from __future__ import annotations

import asyncio
import linecache
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tidemill.engine.drive.aio.loop import Loop
from tidemill.engine.drive.trace.frames import is_library, is_platform
from tidemill.errors import NonRetriableError

ALONE = 1.0  # seconds
THREADS = 30.0
_NAMED = 3  # tasks


class DeadlockError(NonRetriableError):
    """The code awaits something that can never come."""


class Deadlock:
    """`found`: the error, once it is certain."""

    def __init__(self, loop: Loop) -> None:
        self.found: DeadlockError | None = None
        self._loop = loop
        self._before = set(threading.enumerate())

    def wait(self, main: asyncio.Task[Any]) -> float | None:
        """The loop is idle, and only a thread may wake it. Returns how long to wait; 0: `main` has been cancelled."""
        if self._loop.working:
            return None
        if not self._loop.waited:
            self._loop.doubting = True
            return self._patience()
        self.found = DeadlockError(_sentence(self._loop, main))
        main.cancel()
        return 0

    def _patience(self) -> float:
        new = set(threading.enumerate()) - self._before
        return THREADS if any(thread.name != "tidemill-step" for thread in new) else ALONE


def _sentence(loop: Loop, main: asyncio.Task[Any]) -> str:
    others = sorted(asyncio.all_tasks(loop) - {main}, key=lambda task: task.get_name())
    places = list(dict.fromkeys(_awaits(task) for task in [main, *others]))
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return (
        f"the code awaits what can never come: {'; '.join(places[:_NAMED])}{more}; no step, timer, socket or thread "
        "is left to wake it"
    )


def _awaits(task: asyncio.Task[Any]) -> str:
    """The line of the user's code at which this task waits."""
    frame = stands_in(task)
    if frame is None:
        return f"task {task.get_name()}"
    file, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(file, line).strip()
    return f"{frame.f_code.co_qualname} at {file}:{line}" + (f" ({source})" if source else "")


def stands_in(task: asyncio.Task[Any]) -> FrameType | None:
    """The user's own frame in which this task awaits something."""
    frames = list(_frames(task.get_coro()))
    own = [each for each in frames if not (is_platform(each) or is_library(each.f_code.co_filename))]
    return own[-1] if own else None


def _frames(awaited: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, the innermost last."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
