"""Drive a run: run its code from the top over what the journal remembers, until it is blocked, ended or left.

Code runs again whenever its run goes on. A step that the journal knows answers at once; the first that it does not know
runs, is appended, and the code goes straight on to the next. What comes out in the end is a record: `Suspended` with
what every blocked step waits for, `HandedOver`, `AttemptFailed` or `Ended`. If an outsider wrote in between (an event
that the run was about to wait for), the record loses its number, and the code simply runs again.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from tidemill import values
from tidemill.core import retry
from tidemill.core.journal import AttemptFailed, Ended, Validated
from tidemill.core.next_action import bounded
from tidemill.core.state import RunState, fold
from tidemill.engine.drive.calls import Calls
from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.driver import Driver
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.live import Leaving, Left, LiveRun
from tidemill.engine.drive.parking import Lot, park
from tidemill.engine.drive.replayed import Branch, Found, attempt, branch
from tidemill.engine.drive.suspend import leave
from tidemill.engine.drive.trace.frames import declared_at
from tidemill.engine.drive.trace.log import logger
from tidemill.engine.runs import end as finish
from tidemill.engine.runs.load import restored
from tidemill.limits import PARK_RECORDS, SNAPSHOT_RECORDS
from tidemill.model import Event, HeadChange
from tidemill.ports import Clock, Entropy, Keeper
from tidemill.sdk.context import AsyncContext, Context
from tidemill.sdk.event_view import Newer
from tidemill.sdk.function import Function
from tidemill.sdk.step import Step, StepDriver
from tidemill.sdk.step_async import AsyncStep, AsyncStepDriver

AnyFunction = Function[Any, Any]
Body = Callable[[LiveRun], Any]


def never() -> bool:
    return False


def drive(
    function: AnyFunction,
    opened: Opened,
    keeper: Keeper,
    clock: Clock,
    entropy: Entropy,
    *,
    stopping: Callable[[], bool] = never,
    threads: bool = True,
    stubs: Mapping[str, Callable[..., Any]] | None = None,
    snapshot_every: int = SNAPSHOT_RECORDS,
    lot: Lot | None = None,
    park_from: int = PARK_RECORDS,
    host: Host | None = None,
) -> None:
    """Run the code of a claimed run as far as it goes now. Blocking; never raises for what the code does,
    but whatever the keeper raised: then the claim lapses.

    `stopping`: asked before each step; true hands the run over. `threads`: whether branches run in threads.
    `stubs`: functions that stand in for the steps with these ids. `snapshot_every`: so many records.
    `lot`: where the code of a blocked run may be parked (see `parking`), from so
    many records on: `park_from`. `host`: where this executor has a process to itself.
    """
    state, size = _state(opened, keeper)
    live = LiveRun(opened.head, opened.spec, state, keeper, clock, entropy, stopping, stubs or {})
    live.restored = size
    live.snapshot_every, live.host = snapshot_every, host
    live.say = host.say if host is not None else None
    live.head.needs_cleanup = live.head.needs_cleanup or bool(state.begun)
    if lot is not None:
        live.park = lambda: live.state.seq >= park_from and park(live, lot)
    parent = opened.head.parent
    try:
        if parent is not None and parent.chunk is not None:
            from tidemill.engine.drive.map_chunk import chunk_body

            body = chunk_body(function, live, threads)
        else:
            body = function_body(function, threads)
        while not _once(live, body):  # ends: each turn has new records, and at least the step that they are for goes on
            pass
    except Left:
        pass  # another executor, or an end, took the run
    terminal = live.state.terminal
    outside = live.head.admission is not None and not isinstance(
        terminal, Ended
    )  # its place is held until this is told
    if terminal is not None and (live.head.needs_cleanup or outside):
        live.keeper.ended(live.head, live.state.begun)  # what this executor put after the end must not stay behind
    if live.failure is not None:
        raise live.failure


def _state(opened: Opened, keeper: Keeper) -> tuple[RunState, int]:
    """The run's state, and of how many bytes its snapshot was."""
    size = 0

    def restore(run_id: str, seq: int) -> bytes | None:
        nonlocal size
        data = keeper.restore(run_id, seq)
        size = len(data or b"")
        return data

    state = restored(opened.head, opened.base, restore)
    if state is None:  # what stands after the claim is not ours to know: our next append must be lost to it
        known = opened.base + len(opened.records)
        return fold(keeper.journal(opened.head.run_id)[:known]), 0
    state.add(opened.records)
    return state, size


def function_body(function: AnyFunction, threads: bool) -> Body:
    """The function's own code, for a run that an event started."""

    def body(live: LiveRun) -> Any:
        return execute(function, live, events_of(live), threads=threads)[0]

    return body


def execute(
    function: AnyFunction,
    live: LiveRun,
    events: tuple[Event, ...],
    *,
    threads: bool,
    seeking: str | None = None,
) -> tuple[Any, Found | None]:
    """Run the function's code once; its output, and the code of the map that was sought."""
    trunk = Branch(escapes=live.state.birth.escapes)
    if function.is_async:
        from tidemill.engine.drive.aio.calls import AsyncCalls
        from tidemill.engine.drive.aio.driver import AsyncDriver

        driver = AsyncDriver(live, seeking=seeking)
        made = AsyncCalls(driver)
        driver.replayed.place = made.place
        step = AsyncStep(cast("AsyncStepDriver", made), made.made)
        ctx = AsyncContext(events, **_about(function, live, step, driver.replayed))
        try:
            value = in_branch(lambda: driver.complete(function.fn(ctx)), trunk)
            made.check()
            if driver.left_nothing:
                driver.replayed.ahead.ends(lambda: declared_at(function.fn))
            return value, driver.found
        except BaseException:
            if driver.found is not None:
                return None, driver.found
            raise
        finally:
            made.close()
    plain = Driver(live, threads=threads, seeking=seeking)
    calls = Calls(plain)
    context = Context(events, **_about(function, live, Step(cast("StepDriver", calls)), plain.replayed))
    try:
        value = in_branch(lambda: function.fn(context), trunk)
        calls.check()
        plain.replayed.ahead.ends(lambda: declared_at(function.fn))
        return value, plain.found
    except BaseException:
        if plain.found is not None:
            return None, plain.found
        raise


def in_branch(work: Callable[[], Any], trunk: Branch, context: contextvars.Context | None = None) -> Any:
    """Do this as the one branch that every execution begins with; without a context, in one where nothing was set."""
    return (context or contextvars.Context()).run(_as_trunk, work, trunk)


def _as_trunk(work: Callable[[], Any], trunk: Branch) -> Any:
    branch.set(trunk)
    return work()


def _about(function: AnyFunction, live: LiveRun, step: Any, replayed: Any) -> dict[str, Any]:
    number = live.state.attempt
    newer = _newer(function, live.state.events)
    return {
        "run_id": live.head.run_id,
        "function_id": function.id,
        "attempt": lambda: attempt.get(number),
        "step": step,
        "logger": lambda: logger(function.id, live, replayed, function.is_async),
        "data_type": function.data_type,
        "memory": _Validations(live) if function.data_type is not None or newer is not None else None,
        "newer": newer,
    }


def _newer(function: AnyFunction, events: tuple[Event, ...]) -> Newer | None:
    """How the events become what the code wants; None: they are that already."""
    typed, wanted = function.typed, function.wanted
    if typed is None or not any(typed.changes(event.name, event.v, wanted) for event in events):
        return None
    return lambda event: typed.newer(event.name, event.data, event.v, wanted)


class _Validations:
    """The validated data of a run, in its journal: with the first record that its code makes."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    def recall(self) -> tuple[bytes, ...] | None:
        validated = self._live.state.validated
        return validated.data if validated is not None else None

    def keep(self, data: tuple[bytes, ...]) -> None:
        self._live.pending = [Validated(self._live.clock.now(), data)]


def events_of(live: LiveRun) -> tuple[Event, ...]:
    """The events that the code is given: an input of the run's own takes the place of its event's data."""
    events, given = live.state.events, live.state.birth.input
    if given is None:
        return events
    return (msgspec.structs.replace(events[0], data=_passed(given)),)


def _passed(given: bytes) -> Any:
    """What `invoke` passed: itself; or, where its class is the caller's alone, what would have been sent."""
    try:
        return values.decode(given)
    except ValueError:
        return values.plain(given)


def _once(live: LiveRun, body: Body) -> bool:
    """Run the code from the top. True: this executor has done what there was to do."""
    live.leaving = None
    live.blocked = {}
    error: BaseException | None = None
    value: Any = None
    left = False
    try:
        value = body(live)
    except Left:
        left = True
    except SystemExit as stop:
        error = RuntimeError(f"the function called sys.exit({stop.code!r})")
    except GeneratorExit:
        error = RuntimeError("the function raised GeneratorExit")
    except Exception as caught:
        error = caught
    except BaseException as caught:
        _pass_on(live, caught)
        if _leaving(live) is None or not _is_group(caught):  # a TaskGroup's: its tasks were left
            if live.host is None or not live.host.is_stray(caught):
                raise
            error = caught
    _pass_on(live, error)
    leaving = _leaving(live)
    if live.wrong is not None:
        live.leaving = None
        return _fail(live, live.wrong)
    if leaving == "superseded":
        return True
    if left or leaving is not None:  # also where the code swallowed the exception by which it was left
        return leave(live)
    return _complete(live, value) if error is None else _fail(live, error)


def _pass_on(live: LiveRun, error: BaseException | None) -> None:
    if live.host is not None:
        live.host.pass_on(error)


def _is_group(error: BaseException) -> bool:
    return isinstance(error, BaseExceptionGroup)


def _leaving(live: LiveRun) -> Leaving | None:
    return live.leaving


def _complete(live: LiveRun, value: Any) -> bool:
    try:
        output = values.encode(value, "output")
    except Exception as error:  # not serializable, or the value's own code failed
        return _fail(live, error)
    return _end(live, Ended(live.clock.now(), "completed", output))


def _end(live: LiveRun, ended: Ended) -> bool:
    live.write([ended], finish.closing(ended, live.state.seq + 1))
    return True


def _fail(live: LiveRun, error: BaseException) -> bool:
    """An error between steps: tried again with backoff, unless it says that this cannot help."""
    now = live.clock.now()
    failure = failure_of(error, now)
    number = live.state.attempt
    if not failure.retriable or number > live.spec.retries:
        return _end(live, Ended(now, "failed", failure=failure))
    at = retry.retry_at(live.spec.backoff, number, failure, now, live.entropy.random())
    change = HeadChange("running", bounded(live.head, at), attempt=number + 1)
    return live.offer([AttemptFailed(now, number, failure, at)], change)
