"""The event loop of one execution: it reports when it is idle, and drops tasks that were given up.

The loop calls its selector exactly when no callback is ready, so a custom selector can detect that without private
parts of asyncio.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import selectors
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from tidemill.engine.drive.aio.threads import Threads
from tidemill.engine.drive.live import Left
from tidemill.engine.drive.replayed import Branch, branch

if TYPE_CHECKING:
    from typing_extensions import TypeVarTuple, Unpack

    Ts = TypeVarTuple("Ts")

Idle = Callable[[bool, float | None], float | None]
_RESTLESS = 1_000  # turns without a pause, after which the loop is taken to be idle: a step may never pause


class BareTask(asyncio.Task[Any]):
    """A task that is nothing but a step; it knows whether anybody has asked for what it gives."""

    asked = -1  # the loop itself asks

    def add_done_callback(self, fn: Any, /, *, context: Any = None) -> None:
        self.asked += 1
        super().add_done_callback(fn, context=context)

    def remove_done_callback(self, fn: Any, /) -> int:
        removed = super().remove_done_callback(fn)
        self.asked -= removed
        return removed

    def result(self) -> Any:
        self.asked += 1
        return super().result()

    def __await__(self) -> Generator[Any, None, Any]:
        self.asked += 1
        return super().__await__()


class Loop(asyncio.SelectorEventLoop):
    """`idle`: asked each time before the loop waits, whether it watches files, and until its next timer; how long it
    may wait. `bare`: the code objects of coroutines that are steps.
    """

    watching = False  # whether `idle` is asked
    doubting = False  # whether this wait is one for nothing but threads
    waited = False  # whether the last turn was such a wait, to its end: nothing came

    def __init__(self, idle: Idle, bare: frozenset[Any]) -> None:
        self._ahead = 0.0
        self._held: float | None = None
        self._late: list[tuple[Callable[[], None], contextvars.Context]] = []  # timers that came due meanwhile
        super().__init__(_IdleSelector(self))
        self.tasks = 0  # that have not ended
        self.cancelled = False  # whether a task was
        self.idle = idle
        self._bare = bare
        self._blocking = Threads()
        self.set_default_executor(self._blocking)
        self.set_task_factory(self._task)
        self.set_exception_handler(_report)

    @property
    def working(self) -> bool:
        """Whether a thread of the loop's own may wake it."""
        return self._blocking.working

    def time(self) -> float:
        return super().time() + self._ahead if self._held is None else self._held

    def jump(self, seconds: float) -> None:
        """Put the clock forward, and let it go on."""
        then = self.time() + seconds
        self.release()
        self._ahead += then - self.time()

    def hold(self) -> None:
        """Let no timer come before what is about to be told."""
        if self._held is None:
            self._held = self.time()

    def release(self) -> bool:
        """Let time go on. False: it does."""
        held, self._held = self._held, None
        late, self._late = self._late, []
        for fire, context in late:
            self.call_soon(fire, context=context)
        return held is not None

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()

        def fire() -> None:
            if self._held is not None:  # it was due in the very turn in which a step ended
                self._late.append((fire, context))
            elif not handle.cancelled():
                callback(*args)

        handle = super().call_at(when, fire, context=context)
        return handle

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Any, **given: Any) -> asyncio.Future[Any]:
        kind: Any = BareTask if getattr(coro, "cr_code", None) in self._bare else asyncio.Task
        task: asyncio.Task[Any] = kind(coro, loop=loop, **given)
        self.tasks += 1
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks -= 1
        self.cancelled = self.cancelled or task.cancelled()

    def wind_up(self) -> None:
        """End what the code left behind: tasks that nobody awaited, generators. Threads are left to themselves."""
        try:
            tasks = asyncio.all_tasks(self)
            for task in tasks:
                task.cancel()
            if tasks:
                self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.run_until_complete(self.shutdown_asyncgens())
        finally:
            self._blocking.shutdown()
            self.close()


def _report(loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
    """Tell of errors that nobody asked for; that code is left is none."""
    if not isinstance(about.get("exception"), Left):
        loop.default_exception_handler(about)


class _IdleSelector(selectors.DefaultSelector):
    def __init__(self, loop: Loop) -> None:
        super().__init__()
        self._loop = loop
        self._busy = 0  # turns since the loop last had nothing to do

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._loop.watching:
            self._busy = self._busy + 1 if timeout is not None and timeout <= 0 else 0
            if not self._busy or self._busy > _RESTLESS:
                own = 1  # the loop's own pipe, through which threads wake it
                wait = self._loop.idle(len(self.get_map()) > own, timeout)
                timeout = wait if not self._busy else 0
                self._busy = 0
        found = super().select(timeout)
        self._loop.waited, self._loop.doubting = self._loop.doubting and not found, False
        return found


def cancelling() -> bool:
    """Whether somebody asked the current task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def follow(call: Callable[[], Any], scope: Branch) -> Any:
    """One branch of several."""
    branch.set(scope)
    result = call()
    return await result if inspect.isawaitable(result) else result


async def awaited(result: Any) -> Any:
    return await result
