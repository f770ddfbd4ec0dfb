"""Threads for blocking calls beside an event loop: a caller that gives a call up does not wait for its thread.

The threads of `concurrent.futures` are joined when a loop, or the interpreter, ends: a call that hangs would hold up
the run that gave it up long ago. These threads are daemons. A call that is given up keeps its thread until it returns,
but not its place: another thread takes the next call in line, and what the given-up call returns is dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from tidemill.engine.drive.host import Passing
from tidemill.limits import BLOCKING_CALLS


async def in_thread(work: Callable[[], Any]) -> Any:
    """Do this in a thread of its own, which nobody waits for once it has been given up."""
    threads = Threads(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, work)
    finally:
        threads.shutdown()


class Threads(ThreadPoolExecutor):
    """An executor of at most `most` calls at a time, those that were given up aside."""

    def __init__(self, most: int = BLOCKING_CALLS) -> None:
        super().__init__(1)  # for its type alone, which asyncio asks for: it starts no thread until it is used
        self._most = most
        self._changed = threading.Condition()
        self._line: deque[_Work] = deque()
        self._at_work = 0
        self._idle = 0
        self._over = False

    @property
    def working(self) -> bool:
        """Whether a call is at work, or in line, that has not been given up."""
        return self._at_work > 0 or bool(self._line)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        work = _Work(partial(fn, *args, **kwargs), self)
        with self._changed:
            self._line.append(work)
            self._staff()
        return work

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Let idle threads end. Waits for none, whatever it is asked."""
        with self._changed:
            self._over = True
            self._line.clear()
            self._changed.notify_all()

    def given_up(self, work: _Work) -> None:
        """Nobody waits for this call any more: its place is free, its thread ends with it."""
        with self._changed:
            if not work.dropped:
                work.dropped = True
                self._at_work -= 1
                self._staff()

    def _staff(self) -> None:
        """Have the first in line done, if there is a place for it."""
        if self._idle:
            self._changed.notify()
        if len(self._line) > self._idle and self._at_work + self._idle < self._most:
            self._at_work += 1
            threading.Thread(target=self._follow, name="tidemill-step", daemon=True).start()

    def _follow(self) -> None:
        while (work := self._next()) is not None:
            work.perform()
            with self._changed:
                if work.dropped:
                    return  # another thread has its place
                work.dropped = True
        with self._changed:
            self._at_work -= 1

    def _next(self) -> _Work | None:
        """The first in line, once there is one. None: there will be none."""
        with self._changed:
            self._at_work -= 1
            self._idle += 1
            try:
                while not self._line:
                    if self._over:
                        return None
                    self._changed.wait()
                return self._line.popleft()
            finally:
                self._idle -= 1
                self._at_work += 1


class _Work(Future[Any]):
    """A call, as the future that its caller holds; it can be given up also while it runs."""

    def __init__(self, call: Callable[[], Any], threads: Threads) -> None:
        super().__init__()
        self._call = call
        self._threads = threads
        self.dropped = False

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled and self.running():
            self._threads.given_up(self)
        return cancelled

    def perform(self) -> None:
        if not self.set_running_or_notify_cancel():
            return
        value: Any = None
        error: BaseException | None = None
        try:
            value = self._call()
        except BaseException as caught:
            error = caught
        if self.dropped:
            return
        if error is None:
            self.set_result(value)
        else:
            self.set_exception(_carried(error))


def _carried(error: BaseException) -> Exception | Passing:
    """The error as an event loop can carry it: none that ends a process, or stops a generator."""
    if isinstance(error, Exception | Passing) and not isinstance(error, StopIteration):
        return error
    if isinstance(error, SystemExit):
        return RuntimeError(f"the step called sys.exit({error.code!r})")
    return RuntimeError(f"the step raised {error!r}")
