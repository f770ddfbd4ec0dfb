"""Turns a function and its options into the spec that the platform stores. Reports all problems at once."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypedDict, cast

from tidemill import limits
from tidemill.declare.flow import check_together, flow_of
from tidemill.declare.problems import Problems
from tidemill.declare.step_ids import check_step_ids
from tidemill.declare.triggers import triggers_of, wanted_of
from tidemill.errors import DeclarationError
from tidemill.model import Backoff as BackoffSpec
from tidemill.model import CancelSpec, FunctionSpec, TimeoutSpec
from tidemill.sdk.flow import Backoff, CancelOn, Timeouts
from tidemill.sdk.function import AsyncFunction, Function, SyncFunction
from tidemill.sdk.name_rules import id_problem, text_problem, wait_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Literal

    from tidemill.sdk.context import AsyncContext, Context
    from tidemill.sdk.flow import Batch, Concurrency, Debounce, RateLimit, Singleton, Throttle
    from tidemill.sdk.triggers import Duration

    FailureHandler = Callable[[Context], object] | Callable[[AsyncContext], Awaitable[object]]


class FunctionOptions(TypedDict, total=False):
    """The options of `@app.function`, besides `on=`."""

    id: str | None
    """What the function is known by, after its app's name; default: the function's name, with hyphens."""
    name: str | None
    """For people; default: the function's name."""
    retries: int
    """Attempts after the first, 0 to 20, for the function and each of its steps; default 4."""
    backoff: Duration | Backoff
    """The delay before the first retry, such as "10s", or `Backoff(first, factor, cap)`."""
    concurrency: Concurrency | Sequence[Concurrency] | None
    """How many steps or runs may be at work at once, in all or for each value of a key."""
    throttle: Throttle | None
    """How many runs may start within a time; the others start later."""
    rate_limit: RateLimit | None
    """How many runs may start within a time; the others are skipped."""
    debounce: Debounce | None
    """One run for many events: it starts when no further event has come for a while."""
    batch: Batch | None
    """One run for many events: it starts with as many as came within a time."""
    priority: str | None
    """CEL over `event`: seconds, up to 600 either way, by which a run starts ahead of others that queue."""
    singleton: Singleton | None
    """One run at a time: a newcomer is skipped, or cancels the old one."""
    idempotency: str | None
    """CEL over `event`: one run for each value within 24 hours."""
    cancel_on: CancelOn | Sequence[CancelOn] | None
    """Up to five events that cancel a run."""
    timeouts: Timeouts | None
    """A run that has not begun, or not ended, within this time is cancelled."""
    on_failure: FailureHandler | None
    """A function of its own, `<id>-failure`, that runs when a run has failed."""
    versions: Literal["pinned", "latest"]
    """Whether a run stays on the code that it began with."""


_OPTIONS = frozenset(FunctionOptions.__annotations__)


def declared(app: str, fn: Any, on: Any, options: dict[str, Any]) -> Function[Any, Any]:
    """The function that `@app.function(on=..., **options)` makes of `fn`. Raises DeclarationError."""
    problems = Problems()
    _check_options(options, problems)
    _check_function(fn, "the function", problems)
    function_id = _id_of(fn, options, problems)
    triggers, data_type = triggers_of(on, problems)
    handler = options.get("on_failure")
    if handler is not None:
        _check_function(handler, "on_failure", problems)
    spec = FunctionSpec(
        id=f"{app}.{function_id}",
        app=app,
        name=_name_of(fn, options, problems),
        triggers=triggers,
        retries=problems.whole("retries", options.get("retries", limits.RETRIES_DEFAULT), 0, limits.RETRIES),
        backoff=_backoff(options.get("backoff"), problems),
        cancel_on=_cancel_on(options.get("cancel_on"), problems),
        timeouts=_timeouts(options.get("timeouts"), problems),
        on_failure=None if handler is None else f"{app}.{function_id}-failure",
        flow=flow_of(options, problems),
        versions=problems.choice("versions", options.get("versions", "pinned"), ("pinned", "latest")),
    )
    check_together(options, spec.flow, triggers, problems)
    if problems.found:
        raise DeclarationError(f"function {function_id!r} ({place(fn)})", problems.found)
    return _kind(fn)(fn, spec, data_type=data_type, on_failure=handler, wanted=wanted_of(on))


def failure_function(of: Function[Any, Any], handler: Callable[..., Any]) -> Function[Any, Any]:
    """The function that runs `on_failure=handler`: the engine starts it, it has no trigger of its own."""
    spec = FunctionSpec(
        id=f"{of.id}-failure",
        app=of.spec.app,
        name=f"{of.spec.name} (failure)",
        retries=of.spec.retries,
        backoff=of.spec.backoff,
        versions=of.spec.versions,
    )
    return _kind(handler)(handler, spec)


def _kind(fn: Callable[..., Any]) -> type[Function[Any, Any]]:
    return AsyncFunction if inspect.iscoroutinefunction(fn) else SyncFunction


def place(fn: Any) -> str:
    """The place of a function in the source: `shop.py:12`."""
    code = getattr(inspect.unwrap(fn), "__code__", None) if callable(fn) else None
    return "not a function" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _check_options(options: dict[str, Any], problems: Problems) -> None:
    for name in options:
        if name not in _OPTIONS:
            problems.add(name, f"there is no such option; there are on, {', '.join(sorted(_OPTIONS))}")


def _check_function(fn: Any, where: str, problems: Problems) -> None:
    if isinstance(fn, Function):
        problems.add(where, f"{fn!r} is declared already; give a plain function")
    elif not callable(fn) or not hasattr(fn, "__code__"):
        problems.add(where, f"must be a function (def or async def), not {fn!r}")
    elif inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        problems.add(where, f"{fn.__name__} yields; return its result instead")
    else:
        problems.note(where, _argument_problem(fn))
        check_step_ids(fn.__code__, problems)


def _argument_problem(fn: Callable[..., Any]) -> str | None:
    """A function takes its context and nothing else. The code is read because an annotation may not be importable."""
    code = fn.__code__
    taken = code.co_argcount - inspect.ismethod(fn)
    required = taken - len(fn.__defaults__ or ())
    named = code.co_kwonlyargcount - len(fn.__kwdefaults__ or ())
    if required > 1 or named or not (taken or code.co_flags & inspect.CO_VARARGS):
        return f"{fn.__name__} must take one argument, the context: {fn.__name__}(ctx)"
    wrong = "Context" if inspect.iscoroutinefunction(fn) else "AsyncContext"
    if _annotated(fn) != wrong:
        return None
    right, word = ("AsyncContext", "async") if wrong == "Context" else ("Context", "not async")
    return f"{fn.__name__} is {word}: its context is {right}, not {wrong}"


def _annotated(fn: Callable[..., Any]) -> str:
    """The class that the context is annotated with, by its bare name."""
    try:
        annotation = fn.__annotations__.get(fn.__code__.co_varnames[0], "")
    except (NameError, IndexError):  # imported for type checkers only, or *args
        return ""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return str(name).partition("[")[0].rpartition(".")[2].strip()


def _id_of(fn: Any, options: dict[str, Any], problems: Problems) -> str:
    own: str = getattr(fn, "__name__", "?")
    given: Any = options.get("id")
    function_id = own.strip("_").replace("_", "-") if given is None else given
    problem = id_problem(function_id, "a function id")
    if problem is None and options.get("on_failure") is not None:
        problem = id_problem(f"{function_id}-failure", "the id of its on_failure")
    problems.note("id", problem if given is not None or problem is None else f"{problem}; give one with id=")
    return str(function_id)


def _name_of(fn: Any, options: dict[str, Any], problems: Problems) -> str:
    given: Any = options.get("name")
    if given is None:
        return str(getattr(fn, "__name__", "?"))
    problems.note("name", text_problem(given, "a name", limits.EVENT_NAME_CHARS))
    return str(given)


def _backoff(given: Any, problems: Problems) -> BackoffSpec:
    if given is None:
        return BackoffSpec()
    if not isinstance(given, Backoff):
        first = problems.duration("backoff", given, least=0)
        return BackoffSpec(first=first, cap=max(first, BackoffSpec().cap))
    first = problems.duration("backoff.first", given.first, least=0)
    factor = problems.number("backoff.factor", given.factor, 1)
    cap = problems.duration("backoff.cap", given.cap, least=0)
    if cap < first:
        problems.add("backoff", f"cap {given.cap!r} is shorter than the first delay, {given.first!r}")
    return BackoffSpec(first, factor, cap)


def _cancel_on(given: Any, problems: Problems) -> tuple[CancelSpec, ...]:
    if given is None:
        return ()
    several = list(cast("list[Any]", given)) if isinstance(given, (list, tuple)) else [given]
    if len(several) > limits.CANCEL_ON:
        problems.add("cancel_on", f"takes at most {limits.CANCEL_ON} events, not {len(several)}")
    found: list[CancelSpec] = []
    for index, one in enumerate(several):
        where = f"cancel_on[{index}]" if len(several) > 1 else "cancel_on"
        if not isinstance(one, CancelOn):
            problems.add(where, f"must be CancelOn(...), not {one!r}")
            continue
        problems.note(where, wait_problem(one.name, one.match, one.when) or _cancels_all(one.match, one.when))
        timeout = None if one.timeout is None else problems.duration(f"{where}.timeout", one.timeout)
        found.append(CancelSpec(one.name, one.match, one.when, timeout))
    return tuple(found)


def _cancels_all(match: Any, when: Any) -> str | None:
    if match is not None or when is not None:
        return None
    return 'would cancel every run of the function; give match= or when=, or write when="true" if you mean that'


def _timeouts(given: Any, problems: Problems) -> TimeoutSpec:
    if given is None:
        return TimeoutSpec()
    if not isinstance(given, Timeouts):
        problems.add("timeouts", f"must be Timeouts(...), not {given!r}")
        return TimeoutSpec()
    if given.start is None and given.finish is None:
        problems.add("timeouts", "says nothing; give start=, finish= or both")
    return TimeoutSpec(
        start=None if given.start is None else problems.duration("timeouts.start", given.start),
        finish=None if given.finish is None else problems.duration("timeouts.finish", given.finish),
    )
