"""A declared function: still callable, and known to the platform by its id and its spec."""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pydantic import BaseModel

    from tidemill.model import FunctionSpec
    from tidemill.sdk.context import AsyncContext, Context
    from tidemill.sdk.typed import Typed, Wanted

D = TypeVar("D")
R = TypeVar("R")


class Function(Generic[D, R]):
    """The result of `@app.function`: `D` is the type of its event's data, `R` of its output."""

    __name__: str
    is_async: bool
    fn: Callable[[Any], Any]

    def __init__(
        self,
        fn: Callable[..., Any],
        spec: FunctionSpec,
        *,
        data_type: type[BaseModel] | None = None,
        on_failure: Callable[..., Any] | None = None,
        wanted: tuple[Wanted, ...] = (),
    ) -> None:
        update_wrapper(cast("Callable[..., Any]", self), fn)
        self.fn = fn
        self.spec = spec
        self.data_type = data_type  # the Pydantic model of its events' data, where its triggers name one
        self.on_failure = on_failure
        self.wanted = wanted  # which versions of its events' data its code wants
        self.typed: Typed | None = None  # what its app declares of them

    @property
    def id(self) -> str:
        """The id that is used outside the app: `<app>.<id>`."""
        return self.spec.id

    def __repr__(self) -> str:
        return f"<Function {self.id}>"


class SyncFunction(Function[D, R]):
    is_async = False

    def __call__(self, ctx: Context[D], /) -> R:
        """Runs the code itself, here and now: nothing is remembered unless `ctx` belongs to a run."""
        result: R = self.fn(ctx)
        return result


class AsyncFunction(Function[D, R]):
    is_async = True

    def __call__(self, ctx: AsyncContext[D], /) -> Coroutine[Any, Any, R]:
        """Runs the code itself, here and now: nothing is remembered unless `ctx` belongs to a run."""
        result: Coroutine[Any, Any, R] = self.fn(ctx)
        return result
