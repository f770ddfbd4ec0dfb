"""`ctx.step` of an `async def` function: the same methods as in a `def` function, each awaited."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from tidemill.sdk.event_view import parsed, view
from tidemill.sdk.step_arguments import (
    check_calls,
    check_id,
    check_signal,
    check_step,
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
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
    from datetime import datetime

    from pydantic import BaseModel

    from tidemill import model
    from tidemill.sdk.event_view import EventView
    from tidemill.sdk.function import Function
    from tidemill.sdk.triggers import Duration, Wait
    from tidemill.sdk.typed import Typed

    Made = Callable[[str, Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]
    """Called with each coroutine that the code receives, and with its step; returns the coroutine."""
    Waits = tuple[tuple[str, str, str | None, str | None], ...]  # label, event name, match, when

    M = TypeVar("M", bound=BaseModel)

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
T = TypeVar("T")


class AsyncStepDriver(Protocol):
    """What the engine does for an async function: every answer is a coroutine (so that a TaskGroup takes it).

    `fn` and `calls` may return awaitables or plain values.
    """

    def run(
        self,
        id: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retries: int | None,
        timeout: int | None,
    ) -> Coroutine[Any, Any, Any]: ...
    def sleep(self, id: str, ms: int) -> Coroutine[Any, Any, None]: ...
    def sleep_until(self, id: str, at: int) -> Coroutine[Any, Any, None]: ...
    def wait(
        self, id: str, waits: Waits, timeout: int | None, lookback: bool, shares: bool = False
    ) -> Coroutine[Any, Any, tuple[str, model.Event] | None]: ...
    def signal(self, id: str, signal: str, timeout: int | None) -> Coroutine[Any, Any, Any]: ...
    def invoke(
        self, id: str, function_id: str, data: dict[str, Any], timeout: int | None
    ) -> Coroutine[Any, Any, Any]: ...
    def send(self, id: str, events: list[dict[str, Any]]) -> Coroutine[Any, Any, list[str]]: ...
    def parallel(self, calls: tuple[Callable[[], Any], ...]) -> Coroutine[Any, Any, list[Any]]: ...
    def map(
        self, id: str, fn: Callable[[Any], Any], items: list[Any], max_concurrency: int | None
    ) -> Coroutine[Any, Any, list[Any]]: ...
    def skip(self, ids: list[str]) -> Coroutine[Any, Any, None]: ...
    def completion_order(self, id: str) -> int: ...
    def known(self, id: str) -> bool: ...
    def gives_up(self, id: str) -> None: ...


class AsyncStep:
    """The steps of an `async def` function: like `Step`, each awaited (or given to gather or a TaskGroup)."""

    __slots__ = ("_driver", "_made", "_typed")

    def __init__(self, driver: AsyncStepDriver, made: Made | None = None, typed: Typed | None = None) -> None:
        self._driver = driver
        self._made = made or _unwatched
        self._typed = typed

    @overload
    async def run(self, id: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def run(self, id: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def run(self, id: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Runs `fn`, sync or async, once and remembers its result. Raises StepError once it has failed for good."""
        check_step(id, fn)
        return self._made(f"step {id!r}", self._driver.run(id, fn, args, kwargs, None, None))

    def options(self, *, retries: int | None = None, timeout: Duration | None = None) -> AsyncStepOptions:
        """`ctx.step.options(retries=0, timeout="30s").run(...)`: options for one step, instead of the function's."""
        return AsyncStepOptions(self._driver, retries_of(retries), timeout_of(None, timeout), self._made)

    def sleep(self, id: str, duration: Duration) -> Coroutine[Any, Any, None]:
        """Sleeps for up to 366 days. A sleeping run uses no process."""
        check_id(id)
        return self._made(f"step {id!r}", self._driver.sleep(id, sleep_of(id, duration)))

    def sleep_until(self, id: str, when: datetime | str) -> Coroutine[Any, Any, None]:
        """Sleeps until an aware datetime, or ISO text (no zone: UTC). A time in the past returns at once."""
        check_id(id)
        return self._made(f"step {id!r}", self._driver.sleep_until(id, time_of(id, when)))

    @overload
    async def wait_for_event(
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
    async def wait_for_event(
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
    ) -> Coroutine[Any, Any, Any]:
        """The first matching event received since the run's own, or None at the timeout. `model` types its data."""
        data_type = model_of(id, model)
        waits = one_wait(id, name, match, when)
        seen = partial(view, data_type=data_type, newer=awaited(self._typed, name, data_type))
        found = _the_event(self._driver, id, waits, timeout_of(id, timeout), lookback, seen)
        return self._made(f"step {id!r}", found)

    def wait_for_any(
        self, id: str, waits: Mapping[str, Wait], *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, tuple[str, EventView] | None]:
        """The label and the event of the first wait that resolves, or None at the timeout; the others are dropped."""
        asked = self._driver, id, many_waits(id, waits), timeout_of(id, timeout)
        return self._made(f"step {id!r}", _the_first(*asked))

    @overload
    async def wait_for_signal(
        self, id: str, signal: str, *, model: type[M], timeout: Duration | None = None
    ) -> M | None: ...
    @overload
    async def wait_for_signal(self, id: str, signal: str, *, timeout: Duration | None = None) -> Any: ...
    def wait_for_signal(
        self, id: str, signal: str, *, model: Any = None, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, Any]:
        """The data of `POST /v1/signals` with this `signal`, or None at the timeout. `model` types it."""
        check_signal(id, signal)
        if (data_type := model_of(id, model)) is None:
            return self._made(f"step {id!r}", self._driver.signal(id, signal, timeout_of(id, timeout)))
        return self._made(f"step {id!r}", _the_signal(self._driver, id, signal, timeout_of(id, timeout), data_type))

    @overload
    async def invoke(
        self,
        id: str,
        function: Function[D, R],
        data: D | Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> R: ...
    @overload
    async def invoke(
        self,
        id: str,
        function: str,
        data: BaseModel | Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,
    ) -> Any: ...
    def invoke(
        self, id: str, function: Any, data: Any = None, *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Runs another function and returns its output. Raises StepError, or StepTimeoutError at the timeout."""
        asked = id, function_id_of(id, function), data, timeout_of(id, timeout)
        return self._made(f"step {id!r}", self._driver.invoke(*asked))

    def send_event(
        self, id: str, event: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Coroutine[Any, Any, list[str]]:
        """Sends events, exactly once in effect, and returns their ids."""
        return self._made(f"step {id!r}", self._driver.send(id, events_of(id, event)))

    @overload
    async def parallel(self, a: Callable[[], Awaitable[A]], b: Callable[[], Awaitable[B]], /) -> list[A | B]: ...
    @overload
    async def parallel(
        self, a: Callable[[], Awaitable[A]], b: Callable[[], Awaitable[B]], c: Callable[[], Awaitable[C]], /
    ) -> list[A | B | C]: ...
    @overload
    async def parallel(self, *calls: Callable[[], Awaitable[T]]) -> list[T]: ...
    def parallel(self, *calls: Callable[[], Awaitable[Any]]) -> Coroutine[Any, Any, list[Any]]:
        """Runs calls such as `lambda: ctx.step.run("a", f)` in parallel; returns their results in order.

        All calls finish; then the first failure, in order, is raised.
        """
        check_calls(calls)
        return self._made("step.parallel", self._driver.parallel(calls))

    @overload
    async def map(
        self,
        id: str,
        fn: Callable[[A], Awaitable[T]],
        items: Iterable[A],
        *,
        max_concurrency: int | None = None,
    ) -> list[T]: ...
    @overload
    async def map(
        self, id: str, fn: Callable[[A], T], items: Iterable[A], *, max_concurrency: int | None = None
    ) -> list[T]: ...
    def map(
        self,
        id: str,
        fn: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        max_concurrency: int | None = None,
    ) -> Coroutine[Any, Any, list[Any]]:
        """A durable step for each item, spread over many workers; results in order, failures as in `parallel`."""
        check_step(id, fn)
        asked = id, fn, items_of(id, items), concurrency_of(id, max_concurrency)
        return self._made(f"step {id!r}", self._driver.map(*asked))


async def _the_event(
    driver: AsyncStepDriver,
    id: str,
    waits: Waits,
    timeout: int | None,
    lookback: bool,
    seen: Callable[[model.Event], EventView[Any]],
) -> EventView[Any] | None:
    found = await driver.wait(id, waits, timeout, lookback)
    return None if found is None else seen(found[1])


async def _the_signal(
    driver: AsyncStepDriver, id: str, signal: str, timeout: int | None, data_type: type[BaseModel]
) -> Any:
    data = await driver.signal(id, signal, timeout)
    return None if data is None else parsed(data, data_type, f"the signal {signal!r}")


async def _the_first(
    driver: AsyncStepDriver, id: str, waits: Waits, timeout: int | None
) -> tuple[str, EventView] | None:
    found = await driver.wait(id, waits, timeout, True)
    return None if found is None else (found[0], view(found[1]))


BARE = frozenset({_the_event.__code__, _the_first.__code__, _the_signal.__code__})
"""The code of coroutines that only wait."""


def _unwatched(what: str, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:  # noqa: ARG001
    return coroutine


def driver_of(step: AsyncStep) -> AsyncStepDriver:
    """For the engine's own code, which needs more than `step` offers."""
    return step._driver  # pyright: ignore[reportPrivateUsage]  (not part of the public API)


class AsyncStepOptions:
    """The result of `step.options(...)`."""

    __slots__ = ("_driver", "_made", "_retries", "_timeout")

    def __init__(self, driver: AsyncStepDriver, retries: int | None, timeout: int | None, made: Made) -> None:
        self._driver = driver
        self._made = made
        self._retries = retries
        self._timeout = timeout

    @overload
    async def run(self, id: str, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def run(self, id: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def run(self, id: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Like `step.run`, with these options."""
        check_step(id, fn)
        return self._made(f"step {id!r}", self._driver.run(id, fn, args, kwargs, self._retries, self._timeout))
