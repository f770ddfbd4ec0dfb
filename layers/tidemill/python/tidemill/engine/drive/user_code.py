"""Executes a function's code once: makes its context, and runs it from the top as far as it goes."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, cast

import msgspec

from tidemill import values
from tidemill.core.journal import Validated
from tidemill.engine.drive.calls import Calls
from tidemill.engine.drive.driver import Driver
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.patches import Patches
from tidemill.engine.drive.replayed import Branch, Found, attempt, branch
from tidemill.engine.drive.trace.frames import declared_at
from tidemill.engine.drive.trace.log import logger
from tidemill.model import Event
from tidemill.sdk.context import AsyncContext, Context
from tidemill.sdk.function import Function
from tidemill.sdk.step import Step, StepDriver
from tidemill.sdk.step_async import AsyncStep, AsyncStepDriver
from tidemill.sdk.typed import Newer

AnyFunction = Function[Any, Any]
Body = Callable[[LiveRun], Any]


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
        step = AsyncStep(cast("AsyncStepDriver", made), made.made, function.typed)
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
    context = Context(events, **_about(function, live, Step(cast("StepDriver", calls), function.typed), plain.replayed))
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
        "patched": Patches(live, replayed),
    }


def _newer(function: AnyFunction, events: tuple[Event, ...]) -> Newer | None:
    """How the events become what the code wants; None: they are that already."""
    typed, wanted = function.typed, function.wanted
    if typed is None or not any(typed.changes(event.name, event.v, wanted) for event in events):
        return None
    return Newer(typed, wanted)


class _Validations:
    """The validated data of a run, in its journal: with the first record that its code makes."""

    def __init__(self, live: LiveRun) -> None:
        self._live = live

    def recall(self) -> tuple[bytes, ...] | None:
        validated = self._live.state.validated
        return validated.data if validated is not None else None

    def keep(self, data: tuple[bytes, ...]) -> None:
        live = self._live
        if not any(isinstance(record, Validated) for record in live.pending):
            live.remember(Validated(live.clock.now(), data))


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
