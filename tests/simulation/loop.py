"""Time and turns: one heap decides what happens next, so one seed decides everything.

Whatever takes part is a greenlet (an `Actor`) that gives up its turn at every call it makes to the world, for a random
moment; mostly a few milliseconds, now and then long enough for its messages to come again and its claim to lapse.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import greenlet

from tidemill.engine.drive.host import ExecutorGone


class Killed(ExecutorGone):
    """The process of this actor is gone, so the engine must not take this for an error of the code that it runs."""


@dataclass
class Actor:
    name: str
    skew: int
    killed: bool = False
    over: bool = False
    failed: bool = False
    parked: bool = False
    thread: greenlet.greenlet | None = None
    turn: int = 0  # how often it has given up its turn
    claim_until: int | None = None
    run_id: str | None = None  # whose code it is at work on
    on_end: Callable[[bool], None] = field(default=lambda done: None)
    work: Counter[Hashable] = field(default_factory=Counter)  # what it has asked of the stores: see `watchdog`
    process: Actor | None = None  # whose thread this is

    @property
    def root(self) -> Actor:
        """The process, of which this may be a thread."""
        return self.process or self

    @property
    def gone(self) -> bool:
        return self.root.killed


class Loop:
    def __init__(self, seed: int, start: int) -> None:
        self.random = random.Random(seed)
        self.now = start
        self.actor: Actor | None = None
        self._heap: list[tuple[int, float, Callable[[], None]]] = []
        self._main = greenlet.getcurrent()
        self.turns = 0
        self.frozen = 0  # for how long the machine has slept
        self.alarms: list[str] = []  # what makes it pointless to go on

    def at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(when, self.now), self.random.random(), what))

    def spawn(self, name: str, work: Callable[[], None], on_end: Callable[[bool], None], skew: int = 0) -> Actor:
        """Start an actor; `on_end(True)` when it came to its end, `on_end(False)` when it died or failed."""
        actor = Actor(name, skew, on_end=on_end)

        def body() -> None:
            done = False
            try:
                work()
                done = True
            except Failed:
                actor.failed = True
            except BaseException:
                if not actor.gone and not self.alarms:  # else it is Killed, or a group of errors with it
                    raise
            finally:
                actor.over = True
                actor.on_end(done and not actor.killed)

        actor.thread = greenlet.greenlet(body, parent=self._main)
        self.at(self.now, lambda: self._resume(actor))
        return actor

    def pause(self, ms: int) -> None:
        """The current actor's turn is over for so long. Raises Killed if it does not live to the next."""
        actor = self.actor
        if actor is None:
            return
        actor.turn += 1
        turn = actor.turn
        self.at(self.now + ms, lambda: self._resume(actor, turn))
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        self._main.switch()
        asyncio._set_running_loop(running)
        if actor.gone:
            raise Killed

    def thread(self, work: Callable[[], None]) -> Actor:
        """Start a thread of the current actor's process: it has the same name and clock, and dies with it."""
        process = self.actor
        assert process is not None
        actor = Actor(process.name, process.skew, process=process.root)
        actor.run_id, actor.work = process.run_id, process.work

        def body() -> None:
            try:
                work()
            except BaseException:
                if not actor.gone and not self.alarms:
                    raise
            finally:
                actor.over = True

        actor.thread = greenlet.greenlet(body, parent=self._main)
        self.at(self.now, lambda: self._resume(actor))
        return actor

    def wake(self, actor: Actor) -> None:
        """Let this actor go on now, however long it meant to pause."""
        turn = actor.turn
        self.at(self.now, lambda: self._resume(actor, turn))

    def _resume(self, actor: Actor, turn: int = 0) -> None:
        if actor.over or actor.thread is None or actor.turn != turn:
            return
        self.actor = actor
        actor.thread.switch()
        self.actor = None

    def freeze(self, ms: int) -> None:
        """The machine sleeps for so long: timers count on from where they were."""
        self.frozen += ms
        self.now += ms
        self._heap = [(at + ms, order, what) for at, order, what in self._heap]

    def run(self, until: int, idle: Callable[[], bool]) -> None:
        """Go on until nothing is left to happen, `idle()` says so, or the time is up."""
        while self._heap and self._heap[0][0] <= until and not self.alarms:
            at, _, what = heapq.heappop(self._heap)
            self.now = at
            self.turns += 1
            what()
            if self.turns % 16 == 0 and idle():
                return


class Failed(Exception):
    """What an actor did could not be done: its message comes again."""
