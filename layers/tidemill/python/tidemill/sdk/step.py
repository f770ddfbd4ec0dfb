"""`ctx.step` of a `def` function: the steps, whose results the platform remembers.

Two typed classes, `Step` and `AsyncStep` (`step_async`), have the same methods, once plain and once awaited. They
check the arguments and pass them, in the engine's units, to a driver, which is part of the engine. A bad argument
raises NonRetriableError: the same code would give the same argument again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from tidemill.sdk.event_view import parsed, view
from tidemill.sdk.step_arguments import (
    check_calls,
    check_id,
    check_signal,
    check_sync_step,
    concurrency_of,
    events_of,
    function_id_of,
    items_of,
    many_waits,
    model_of,
    one_wait,
    retries_of,
    sleep_of,
    time_of,
    timeout_of,
)
from tidemill.sdk.typed import awaited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from tidemill import model
    from tidemill.sdk.event_view import EventView
    from tidemill.sdk.function import Function
    from tidemill.sdk.triggers import Duration, Wait
    from tidemill.sdk.typed import Typed

    Waits = tuple[tuple[str, str, str | None, str | None], ...]  # label, event name, match, when

    M = TypeVar("M", bound=BaseModel)

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")


class StepDriver(Protocol):
    """What the engine does for a sync function. Times and durations are milliseconds, arguments are checked."""

    def run(
        self,
        id: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retries: int | None,
        timeout: int | None,
    ) -> Any: ...
    def sleep(self, id: str, ms: int) -> None: ...
    def sleep_until(self, id: str, at: int) -> None: ...
    def wait(self, id: str, waits: Waits, timeout: int | None, lookback: bool) -> tuple[str, model.Event] | None: ...
    def signal(self, id: str, signal: str, timeout: int | None) -> Any: ...
    def invoke(self, id: str, function_id: str, data: Any, timeout: int | None) -> Any: ...
    def send(self, id: str, events: list[dict[str, Any]]) -> list[str]: ...
    def parallel(self, calls: tuple[Callable[[], Any], ...]) -> list[Any]: ...
    def map(self, id: str, fn: Callable[[Any], Any], items: list[Any], max_concurrency: int | None) -> list[Any]: ...


class Step:
    """The steps of a `def` function. Each is remembered under its id; one used again gets `:1`, `:2`, …"""

    __slots__ = ("_driver", "_typed")

    def __init__(self, driver: StepDriver, typed: Typed | None = None) -> None:
        self._driver = driver
        self._typed = typed

    def run(self, id: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `fn` once and remembers its result. Raises StepError once it has failed for good."""
        check_sync_step(id, fn)
        result: T = self._driver.run(id, fn, args, kwargs, None, None)
        return result

    def options(self, *, retries: int | None = None, timeout: Duration | None = None) -> StepOptions:
        """`ctx.step.options(retries=0, timeout="30s").run(...)`: options for one step, instead of the function's."""
        return StepOptions(self._driver, retries_of(retries), timeout_of(None, timeout))

    def sleep(self, id: str, duration: Duration) -> None:
        """Sleeps for up to 366 days. A sleeping run uses no process."""
        check_id(id)
        self._driver.sleep(id, sleep_of(id, duration))

    def sleep_until(self, id: str, when: datetime | str) -> None:
        """Sleeps until an aware datetime, or ISO text (no zone: UTC). A time in the past returns at once."""
        check_id(id)
        self._driver.sleep_until(id, time_of(id, when))

    @overload
    def wait_for_event(
        self,
        id: str,
        name: str,
        *,
        model: type[M],
        match: str | None = None,
        when: str | None = None,
        timeout: Duration | None = None,
        lookback: bool = True,
    ) -> EventView[M] | None: ...
    @overload
    def wait_for_event(
        self,
        id: str,
        name: str,
        *,
        match: str | None = None,
        when: str | None = None,
        timeout: Duration | None = None,
        lookback: bool = True,
    ) -> EventView | None: ...
    def wait_for_event(
        self,
        id: str,
        name: str,
        *,
        model: Any = None,
        match: str | None = None,
        when: str | None = None,
        timeout: Duration | None = None,
        lookback: bool = True,
    ) -> Any:
        """The first matching event received since the run's own, or None at the timeout. `model` types its data."""
        data_type = model_of(id, model)
        found = self._driver.wait(id, one_wait(id, name, match, when), timeout_of(id, timeout), lookback)
        return None if found is None else view(found[1], data_type, awaited(self._typed, name, data_type))

    def wait_for_any(
        self, id: str, waits: Mapping[str, Wait], *, timeout: Duration | None = None
    ) -> tuple[str, EventView] | None:
        """The label and the event of the first wait that resolves, or None at the timeout; the others are dropped."""
        found = self._driver.wait(id, many_waits(id, waits), timeout_of(id, timeout), True)
        return None if found is None else (found[0], view(found[1]))

    @overload
    def wait_for_signal(self, id: str, signal: str, *, model: type[M], timeout: Duration | None = None) -> M | None: ...
    @overload
    def wait_for_signal(self, id: str, signal: str, *, timeout: Duration | None = None) -> Any: ...
    def wait_for_signal(self, id: str, signal: str, *, model: Any = None, timeout: Duration | None = None) -> Any:
        """The data of `POST /v1/signals` with this `signal`, or None at the timeout. `model` types it."""
        check_signal(id, signal)
        data_type = model_of(id, model)
        data = self._driver.signal(id, signal, timeout_of(id, timeout))
        return data if data is None or data_type is None else parsed(data, data_type, f"the signal {signal!r}")

    @overload
    def invoke(
        self,
        id: str,
        function: Function[D, R],
        data: D | Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> R: ...
    @overload
    def invoke(
        self,
        id: str,
        function: str,
        data: BaseModel | Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> Any: ...
    def invoke(self, id: str, function: Any, data: Any = None, *, timeout: Duration | None = None) -> Any:
        """Runs another function and returns its output. Raises StepError, or StepTimeoutError at the timeout."""
        return self._driver.invoke(id, function_id_of(id, function), data, timeout_of(id, timeout))

    def send_event(self, id: str, event: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
        """Sends events, exactly once in effect, and returns their ids."""
        return self._driver.send(id, events_of(id, event))

    @overload
    def parallel(self, a: Callable[[], A], b: Callable[[], B], /) -> list[A | B]: ...
    @overload
    def parallel(self, a: Callable[[], A], b: Callable[[], B], c: Callable[[], C], /) -> list[A | B | C]: ...
    @overload
    def parallel(self, *calls: Callable[[], T]) -> list[T]: ...
    def parallel(self, *calls: Callable[[], Any]) -> list[Any]:
        """Runs calls such as `lambda: ctx.step.run("a", f)` in parallel; returns their results in order.

        All calls finish; then the first failure, in order, is raised.
        """
        check_calls(calls)
        return self._driver.parallel(calls)

    def map(self, id: str, fn: Callable[[A], T], items: Iterable[A], *, max_concurrency: int | None = None) -> list[T]:
        """A durable step for each item, spread over many workers; results in order, failures as in `parallel`."""
        check_sync_step(id, fn)
        return self._driver.map(id, fn, items_of(id, items), concurrency_of(id, max_concurrency))


class StepOptions:
    """The result of `step.options(...)`."""

    __slots__ = ("_driver", "_retries", "_timeout")

    def __init__(self, driver: StepDriver, retries: int | None, timeout: int | None) -> None:
        self._driver = driver
        self._retries = retries
        self._timeout = timeout

    def run(self, id: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `step.run`, with these options."""
        check_sync_step(id, fn)
        result: T = self._driver.run(id, fn, args, kwargs, self._retries, self._timeout)
        return result
