"""Threads of a simulated process: what `threading` gives the drivers, on the simulation's own turns.

The branches of a `parallel` then really interleave, at every call they make and while their steps run, and one seed
still decides everything. Where a condition is waited for, the time until somebody looks again is coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from simulation.loop import Actor, Killed, Loop

from tidemill.engine.drive import driver, live

_LONG = 600_000
_LOOK = 250  # ms between two looks at a condition


class SimThread:
    def __init__(self, loop: Loop, target: Callable[..., Any], args: Sequence[Any], daemon: bool) -> None:
        self._loop = loop
        self._call = lambda: target(*args)
        self._joining: list[Actor] = []
        self._daemon = daemon
        self._actor: Actor | None = None

    def start(self) -> None:
        self._actor = self._loop.thread(self._work)

    def _work(self) -> None:
        try:
            self._call()
        finally:
            for each in self._joining:
                self._loop.wake(each)

    def is_alive(self) -> bool:
        return self._actor is not None and not self._actor.over

    def join(self, timeout: float | None = None) -> None:
        end = None if timeout is None else self._loop.now + timeout * 1_000
        if self._loop.actor is not None:
            self._joining.append(self._loop.actor)
        while self.is_alive() and (end is None or self._loop.now < end):
            self._loop.pause(_LONG if end is None else max(1, min(_LONG, int(end - self._loop.now))))
        if self._loop.actor is not None and self._loop.actor.gone:  # the thread may have ended because its process did
            raise Killed


class SimCondition:
    """A condition with a lock that its owner may take again."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._owner: Actor | None = None
        self._depth = 0
        self._news = 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> bool:
        me = self._loop.actor
        wait = 1
        while self._owner is not None and self._owner is not me and not self._owner.over:
            self._loop.pause(wait)
            wait = min(2 * wait, 4_000)  # code may be parked for hours with the lock in its hand
        self._owner, self._depth = me, (self._depth + 1 if self._owner is me else 1)
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None

    def notify_all(self) -> None:
        self._news += 1

    def wait(self, timeout: float | None = None) -> bool:
        depth, news = self._depth, self._news
        end = None if timeout is None else self._loop.now + timeout * 1_000
        self._owner, self._depth = None, 0
        while self._news == news and (end is None or self._loop.now < end):
            self._loop.pause(_LOOK if end is None else max(1, min(_LOOK, int(end - self._loop.now))))
        self.acquire()
        self._depth = depth
        return self._news != news


@contextmanager
def simulated(loop: Loop) -> Iterator[None]:
    """The drivers' threads are the simulation's."""
    fake = SimpleNamespace(
        Thread=lambda target, args=(), daemon=False: SimThread(loop, target, args, daemon),
        Condition=lambda: SimCondition(loop),
    )
    with mock.patch.object(driver, "threading", fake), mock.patch.object(live, "threading", fake):
        yield
