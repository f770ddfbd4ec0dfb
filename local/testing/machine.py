"""The inside of a Mill: the engine over its stores, one executor, and a clock that the test moves.

Everything happens in turns, in one thread: receive the events that code has sent, execute a run as far as it goes, then
the next one; when none is left the world is idle, and the clock may move to the next due time.
"""

from __future__ import annotations

import os
import random
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

import msgspec

from tidemill import ids, values
from tidemill.core.journal import Claimed, Record, Resolved, Suspended
from tidemill.core.next_action import bounded
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.drive.passed_by import Passed
from tidemill.engine.intake import delayed, receive, serve_lines
from tidemill.engine.intake.fit import fitting
from tidemill.engine.runs import append as outside
from tidemill.errors import NonDeterministicError
from tidemill.limits import RENEW_BEFORE
from tidemill.model import Event, EventSchema, Head, HeadChange, Parent, WebhookSpec
from tidemill.ports import Appended, Lost, World
from tidemill.sdk.function import Function
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.testing.doubles import Crash, Doubles
from tidemill_local.testing.stores import Stores
from tidemill_local.testing.ticks import Ticks

EPOCH = 1_767_225_600_000  # 2026-01-01T00:00:00Z, a Thursday
FOREVER = 2**53
RESTLESS = 200_000  # checks of runs at one moment, beyond which they are in an endless loop


class VirtualClock:
    def __init__(self, now: int = EPOCH) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


class SeededEntropy:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test must come out the same every time

    def random(self) -> float:
        return self._random.random()

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class _Queue:
    def __init__(self) -> None:
        self.ready: deque[str] = deque()

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:  # noqa: ARG002
        if at is None:
            self.ready.append(run_id)

    def forget(self, run_id: str) -> None:
        """Does nothing: a run's due time is its only timer."""


class _Nobody:
    """No claim is alive: no executor outlives the call that runs it."""

    def alive(self, claim: Claimed, now: int) -> bool:  # noqa: ARG002
        return False


class _Keeper(StoreKeeper):
    """One executor's keeper: it can die, and steps that start other functions can be stubbed."""

    def __init__(self, world: World, doubles: Doubles) -> None:
        super().__init__(world)
        self._doubles = doubles
        self.dead = False

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        self._live()
        found = super().append(head, seq, records, _unhurried(head, records, change))
        if isinstance(found, Appended) and self._doubles.dies_after(records):
            self.die()
        return found

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        self._live()
        stub = self._doubles.stub_of(parent.key)
        if stub is None:
            return super().invoke(parent, function_id, data, user)
        now = self._world.clock.now()
        try:
            record = Resolved(parent.key, now, value=values.encode(stub(values.decode(data)), "result"))
        except Exception as error:
            record = Resolved(parent.key, now, failure=failure_of(error, now, parent.key))
        outside.resolve(self._world, parent.run_id, parent.function_id, record)
        return True

    def send(self, events: Sequence[Event]) -> None:
        self._live()
        super().send(events)

    def die(self) -> None:
        self.dead = True
        raise Crash

    def _live(self) -> None:
        """Stop code that catches the exception which ends its process."""
        if self.dead:
            raise Crash


def _unhurried(head: Head, records: Sequence[Record], change: HeadChange | None) -> HeadChange | None:
    """In AWS a waiting run is checked every hour, in case a message is lost. Here none is lost.

    If records expire, the run is checked when it must be renewed.
    """
    if change is None or not isinstance(records[-1], Suspended) or records[-1].due is not None:
        return change
    due = FOREVER if head.kept is None else max(change.due or 0, head.kept - RENEW_BEFORE)
    return msgspec.structs.replace(change, due=bounded(head, due))


class Machine:
    def __init__(self, stores: Stores, clock: VirtualClock, seed: int, restless: bool) -> None:
        self.clock = clock
        self.stores = stores
        self.bus = stores.bus
        self.doubles = Doubles()
        self.functions: dict[str, Function[Any, Any]] = {}
        self.registry = LocalRegistry()
        self._queue = _Queue()
        self.world = self.bus.world = World(
            stores.runs, stores.events, stores.waits, stores.blobs, self._queue, self.bus, self.registry,
            self.clock, SeededEntropy(seed), _Nobody(), stores.flow, logs=stores.logs,
            pauses=stores.pauses,
        )  # fmt: skip
        self._ticks = Ticks((), clock.now())
        self._inbox: deque[tuple[Event, bool]] = deque()  # events that code has sent while it runs
        self._restless = restless
        self._thread: int | None = None  # the current execution
        self._loads = 0
        self._host = Host()

    @property
    def busy(self) -> bool:
        return self._thread is not None

    def load(
        self,
        functions: dict[str, Function[Any, Any]],
        schemas: Iterable[EventSchema] = (),
        webhooks: Iterable[WebhookSpec] = (),
    ) -> None:
        """Serve these functions instead of all others; runs that were held without their function continue."""
        self.registry.replace_webhooks(webhooks, os.environ)  # as for a request
        self._loads += 1
        self._host = Host(
            passes=_is_for_the_test, deadlocks=True, judge=_judge, say=self.stores.logs.keep, version=str(self._loads)
        )
        before = self.registry.functions()
        self.functions = functions
        self.registry.replace([function.spec for function in functions.values()], str(self._loads), schemas)
        self._ticks = Ticks(self.registry.functions(), self.clock.now())
        for function_id in functions:
            for run_id in self.stores.held(function_id):
                self._queue.wake(run_id, function_id)
        for _ in serve_lines.changed(self.world, before):
            pass
        self.settle()

    def take(self, given: Iterable[dict[str, Any]], *, by_code: bool = False) -> list[str]:
        """Receive events from outside; those that code sends are received after its execution."""
        entropy = self.world.entropy
        now = self.clock.now()
        sent = [_event({"id": ids.ulid(now, entropy.bytes(10)), **event}, now) for event in given]
        events = fitting(self.registry, sent)
        self._inbox.extend((event, by_code) for event in events)
        if not self.busy:
            self.settle()
        return [event.id for event in events]

    def settle(self) -> None:
        """Continue until nothing is left to do at this moment."""
        if self.busy:
            return
        self._thread = threading.get_ident()
        try:
            for _ in range(RESTLESS):
                if not self._turn():
                    break
            else:
                raise RuntimeError(
                    f"the runs of this test do not come to rest: {RESTLESS:,} turns, and the clock has not moved; "
                    "does a function start itself?"
                )
        finally:
            self._thread = None
        self.stores.commit()

    def run_to(self, target: int) -> None:
        """Let time pass: everything that is due until then happens at its own time, in order."""
        self.settle()
        while (at := self._next()) is not None and at <= target:
            self.clock.time = max(self.clock.time, at)
            for firing in self._ticks.due(self.clock.time):
                receive.fire(self.world, firing.spec, firing.trigger, firing.tick)
            self.settle()
        self.clock.time = max(self.clock.time, target)

    def pass_a_moment(self) -> None:
        """Let a millisecond pass, so that the test's actions have an order."""
        self.run_to(self.clock.now() + 1)

    def _next(self) -> int | None:
        times = [t for t in (self.stores.next_due(), self._ticks.next_at()) if t is not None]
        return min(times, default=None)

    def _turn(self) -> bool:
        """Do one thing that can be done now. False: nothing to do."""
        if self._inbox:
            self._accept(*self._inbox.popleft())
        elif self._queue.ready:
            self._look(self._queue.ready.popleft())
        else:
            return self._fall_due(self.clock.now())
        return True

    def _fall_due(self, now: int) -> bool:
        """False: nothing is due."""
        for event_id, _ in self.stores.events.delayed(now, 1):
            event = self.stores.events.get(event_id)
            if event is not None:
                delayed.come(self.world, event)
            return True
        for run_id, function_id in self.stores.due(now):
            self._queue.wake(run_id, function_id)
        return bool(self._queue.ready)

    def _accept(self, sent: Event, by_code: bool) -> None:
        now = self.clock.now()
        if receive.known(self.world, sent.id, now) is not None:
            return
        event = msgspec.structs.replace(sent, received_at=now)
        if by_code:
            self.bus.publish([event])
        else:
            receive.receive(self.world, event)

    def _look(self, run_id: str) -> None:
        opened = open_run(self.world, run_id, "mill", FOREVER)
        if opened is None:
            return
        keeper = _Keeper(self.world, self.doubles)
        try:
            self._drive(opened, keeper)
        except BaseException:
            if not keeper.dead:
                raise
            self._queue.wake(run_id, opened.spec.id)  # its claim has lapsed with it

    def _drive(self, opened: Opened, keeper: _Keeper) -> None:
        function = self.functions[opened.spec.id]
        work = self._work(function, opened, keeper)
        if function.is_async and _in_a_loop():
            _elsewhere(work)
        else:
            work()

    def _paused(self, function_id: str) -> bool:
        return self.world.pauses.of(function_id) is not None

    def _work(self, function: Function[Any, Any], opened: Opened, keeper: _Keeper) -> Callable[[], None]:
        def work() -> None:
            drive(
                function, opened, keeper, self.clock, self.world.entropy,
                stopping=_once() if self._restless else partial(self._paused, opened.spec.id),
                threads=False, stubs=self.doubles.of(opened.head, keeper.die), host=self._host,
            )  # fmt: skip

        return work


def _event(sent: dict[str, Any], now: int) -> Event:
    return Event(sent["id"], sent["name"], sent["data"], sent.get("ts", now), now, sent.get("user"), sent.get("v"))


def _is_for_the_test(error: BaseException) -> bool:
    """Ctrl-C, and what pytest and Hypothesis raise to end a test or all of them, in a group of errors too."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_for_the_test, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return _ends_the_test(error)


def _ends_the_test(error: BaseException) -> bool:
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, KeyboardInterrupt) or not roots.isdisjoint(_HARNESSES)


_HARNESSES = frozenset({"_pytest", "hypothesis"})


def _judge(passed: Passed) -> Exception | None:
    """Fails a run with nondeterministic code; warns about code that a reload has changed."""
    if passed.changed:
        try:
            warnings.warn(str(passed), stacklevel=2)
        except UserWarning:  # if the tests treat warnings as errors
            return NonDeterministicError(str(passed))
        return None
    return NonDeterministicError(str(passed))


def _once() -> Callable[[], bool]:
    """Lets one step through, and stops before the next."""
    asked = False

    def stopping() -> bool:
        nonlocal asked
        before, asked = asked, True
        return before

    return stopping


def _in_a_loop() -> bool:
    """Whether the test itself is async: then the code's own loop needs another thread."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _elsewhere(work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def follow() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
