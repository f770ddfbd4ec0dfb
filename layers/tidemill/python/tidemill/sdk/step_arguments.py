"""Checks the arguments of `ctx.step`'s methods, and converts them to the engine's units.

Every problem is a NonRetriableError: the same code would give the same argument again. `run` is called once for
each remembered step of every replay, so its checks cost next to nothing for valid arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill import duration, limits
from tidemill.errors import EventError, NonRetriableError
from tidemill.sdk.name_rules import step_id_problem, text_problem, wait_problem
from tidemill.sdk.payload import passed_object, plain_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from tidemill.sdk.triggers import Duration, Wait

    Waits = tuple[tuple[str, str, str | None, str | None], ...]

_COROUTINE = 0x80  # inspect.CO_COROUTINE


def check_id(id: str) -> None:
    if type(id) is str and 0 < len(id) <= 256 and id.isprintable():
        return
    problem = step_id_problem(id)
    if problem is not None:
        raise NonRetriableError(problem)


def check_step(id: str, fn: object) -> None:
    check_id(id)
    if not callable(fn):
        raise NonRetriableError(
            f"step {id!r}: give the function itself and its arguments after it, not {type(fn).__name__}"
        )


def check_sync_step(id: str, fn: Any) -> None:
    """As `check_step`, for a function that must not be async."""
    try:
        asynchronous = fn.__code__.co_flags & _COROUTINE
    except AttributeError:  # a builtin, a partial, an object with __call__; or not a function
        asynchronous = _is_async(fn)
        check_step(id, fn)
    if type(id) is not str or not 0 < len(id) <= 256 or not id.isprintable():
        check_id(id)
    if asynchronous:
        raise NonRetriableError(
            f"step {id!r}: {getattr(fn, '__name__', fn)} is async, the function around it is not;"
            " declare that one with `async def` and await its steps"
        )


def model_of(id: str, model: Any) -> type[BaseModel] | None:
    if model is None or hasattr(model, "model_validate_json"):
        found: type[BaseModel] | None = model
        return found
    raise NonRetriableError(f"step {id!r}: model= takes a Pydantic model, a class, not {model!r}")


def _is_async(fn: Any) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def retries_of(retries: int | None) -> int | None:
    if retries is not None and (type(retries) is not int or not 0 <= retries <= limits.RETRIES):
        raise NonRetriableError(f"step.options: retries must be 0 to {limits.RETRIES}, not {retries!r}")
    return retries


def timeout_of(id: str | None, timeout: Duration | None) -> int | None:
    """Without an id, it is the timeout of `step.options`."""
    if timeout is None:
        return None
    ms = _duration(id, "timeout", timeout)
    if not ms:
        raise NonRetriableError(f"{_place(id)}: timeout must be longer than 0")
    return ms


def sleep_of(id: str, value: Duration) -> int:
    return _duration(id, "duration", value)


def _duration(id: str | None, what: str, value: Duration) -> int:
    try:
        ms = duration.parse(value)
    except ValueError as error:
        raise NonRetriableError(f"{_place(id)}: {what}: {error}") from None
    if ms > limits.SLEEP:
        raise NonRetriableError(
            f"{_place(id)}: {what}: {value!r} is longer than {duration.text(limits.SLEEP)}, the longest there is"
        )
    return ms


def _place(id: str | None) -> str:
    return "step.options" if id is None else f"step {id!r}"


def time_of(id: str, when: datetime | str) -> int:
    try:
        return duration.parse_time(when)
    except ValueError as error:
        raise NonRetriableError(f"step {id!r}: when: {error}") from None


def one_wait(id: str, name: str, match: str | None, when: str | None) -> Waits:
    check_id(id)
    _check_wait(id, name, match, when)
    return (("", name, match, when),)


def many_waits(id: str, waits: Mapping[str, Wait]) -> Waits:
    check_id(id)
    if not hasattr(waits, "items") or not waits:
        raise NonRetriableError(f"step {id!r}: give a dict of at least one label and its Wait(...)")
    found: list[tuple[str, str, str | None, str | None]] = []
    for label, wait in waits.items():
        problem = text_problem(label, "a label", limits.STEP_ID_CHARS)
        if problem is not None or not hasattr(wait, "match"):
            raise NonRetriableError(f"step {id!r}: {problem or f'{label!r} must be a Wait(...), not {wait!r}'}")
        _check_wait(id, wait.name, wait.match, wait.when)
        found.append((label, wait.name, wait.match, wait.when))
    return tuple(found)


def _check_wait(id: str, name: str, match: str | None, when: str | None) -> None:
    problem = wait_problem(name, match, when)
    if problem is not None:
        raise NonRetriableError(f"step {id!r}: {problem}")


def check_signal(id: str, signal: str) -> None:
    check_id(id)
    problem = text_problem(signal, "a signal", limits.EVENT_NAME_CHARS)
    if problem is not None:
        raise NonRetriableError(f"step {id!r}: {problem}")


def function_id_of(id: str, function: Any) -> str:
    check_id(id)
    function_id = function if isinstance(function, str) else getattr(function, "id", None)
    if not isinstance(function_id, str) or not function_id:
        raise NonRetriableError(
            f"step {id!r}: invoke takes a declared function or its id, such as 'shop.process-video', not {function!r}"
        )
    return function_id


def passed(key: str, data: Any) -> bytes:
    """The data that a step passes to the function that it invokes, encoded."""
    try:
        return passed_object({} if data is None else data, "data")
    except EventError as error:
        raise NonRetriableError(f"step {key!r}: {error}") from None


def events_of(id: str, given: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    check_id(id)
    try:
        return plain_events(given)
    except EventError as error:
        raise NonRetriableError(f"step {id!r}: {error}") from None


def check_calls(calls: tuple[Callable[[], Any], ...]) -> None:
    for index, call in enumerate(calls):
        if not callable(call):
            raise NonRetriableError(
                f"step.parallel: call {index + 1} is {type(call).__name__}, not a function;"
                ' write lambda: ctx.step.run("id", f)'
            )


def items_of(id: str, items: Iterable[Any]) -> list[Any]:
    try:
        found = list(items)
    except TypeError:
        raise NonRetriableError(f"step {id!r}: map takes a list of items, not {type(items).__name__}") from None
    if len(found) > limits.MAP_ITEMS:
        raise NonRetriableError(f"step {id!r}: map takes up to {limits.MAP_ITEMS} items, not {len(found)}")
    return found


def concurrency_of(id: str, most: int | None) -> int | None:
    if most is not None and (type(most) is not int or most < 1):
        raise NonRetriableError(f"step {id!r}: max_concurrency must be a whole number from 1, not {most!r}")
    return most
