"""Detects steps without `await`: coroutines of `ctx.step` that the code of an `async def` function never used.

Without its `await` a step does not run, and Python reports that, if at all, in a warning. A run of such code must not
complete: the code ended as if the step had run.

A coroutine is unused if the task that made it ended, and no code awaited or scheduled it. A task that was cancelled or
failed gave the coroutine up, and so does code that closes it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any, NamedTuple

from tidemill.engine.drive.calls import Calls
from tidemill.engine.drive.trace.frames import called_at, users_line
from tidemill.errors import NonRetriableError

_SWEPT = 64  # coroutines that may be remembered before those that have begun are forgotten
_NAMED = 3  # steps that one sentence names


class _Made(NamedTuple):
    coroutine: Coroutine[Any, Any, Any]
    what: str
    at: str
    task: asyncio.Task[Any] | None


class AsyncCalls(Calls):
    """The driver of an `async def` function, as `ctx.step` calls it."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._ahead: list[_Made] = []  # coroutines that wait to be awaited, and some that have begun
        self._most = _SWEPT

    def made(self, what: str, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        """Remember this coroutine until it begins."""
        if len(self._ahead) >= self._most:
            self._ahead = [each for each in self._ahead if _unbegun(each)]
            self._most = max(_SWEPT, 2 * len(self._ahead))
        self._ahead.append(_Made(coroutine, what, called_at(), _this_task()))
        return coroutine

    def place(self) -> str:
        """Where the code called the step that the current task has come to, as file:line; "" where that is unknown."""
        task = _this_task()
        if task is not None:
            for each in self._ahead:  # a task that is only a step
                if each.coroutine is task.get_coro():
                    return each.at
        return users_line()

    def check(self) -> None:
        super().check()
        unused = [each for each in self._ahead if _unbegun(each) and _came_to_its_end(each.task)]
        if unused:
            more = f"; and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
            named = "; ".join(f"{each.what} at {each.at}" for each in unused[:_NAMED])
            raise NonRetriableError(
                f"never awaited, so never run: {named}{more}; write `await` before the call, or give it to "
                "asyncio.gather or a TaskGroup"
            )

    def close(self) -> None:
        """Close coroutines that have not begun, without Python's warning: a replay makes them again."""
        for each in self._ahead:
            if _unbegun(each):
                each.coroutine.close()
        self._ahead.clear()


def _unbegun(made: _Made) -> bool:
    return inspect.getcoroutinestate(made.coroutine) == inspect.CORO_CREATED


def _this_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # a thread without a loop


def _came_to_its_end(task: asyncio.Task[Any] | None) -> bool:
    return task is None or (task.done() and not task.cancelled() and task.exception() is None)
