"""`App`, the public class that declares functions and sends events."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, overload

from tidemill.declare.functions import declared, failure_function, place
from tidemill.errors import DeclarationError
from tidemill.sdk.name_rules import id_problem
from tidemill.sdk.payload import plain_events
from tidemill.sdk.typed import Typed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Protocol, Unpack

    from pydantic import BaseModel
    from typing_extensions import TypeVar

    from tidemill.aws.function.entry import Entry
    from tidemill.declare.functions import FunctionOptions
    from tidemill.declare.schemas import Found
    from tidemill.declare.webhooks import WebhookOptions
    from tidemill.model import WebhookScheme, WebhookSpec
    from tidemill.schemas.upcasts import Upcast
    from tidemill.sdk.context import AsyncContext, Context
    from tidemill.sdk.function import AsyncFunction, Function, SyncFunction
    from tidemill.sdk.triggers import Cron, Event

    D = TypeVar("D", bound=Mapping[str, object])
    M = TypeVar("M", bound=BaseModel)
    R = TypeVar("R")

    Plain = str | Event[dict[str, Any]] | Cron

    class Declares(Protocol):
        """Takes a function whose data is a dict, or a TypedDict that says what is in it."""

        @overload
        def __call__(self, fn: Callable[[AsyncContext[D]], Coroutine[Any, Any, R]], /) -> AsyncFunction[D, R]: ...
        @overload
        def __call__(self, fn: Callable[[Context[D]], R], /) -> SyncFunction[D, R]: ...

    class DeclaresModel(Protocol[M]):
        """Takes a function whose data is the model that its triggers name."""

        @overload
        def __call__(self, fn: Callable[[AsyncContext[M]], Coroutine[Any, Any, R]], /) -> AsyncFunction[M, R]: ...
        @overload
        def __call__(self, fn: Callable[[Context[M]], R], /) -> SyncFunction[M, R]: ...


class App:
    """The functions that are deployed together under one name."""

    def __init__(self, name: str) -> None:
        problem = id_problem(name, "the name of an app")
        if name == "tidemill":
            problem = "the name 'tidemill' is the platform's own; give the app another"
        if problem is not None:
            raise DeclarationError(f"App({name!r})", [problem])
        self.name = name
        self.functions: dict[str, Function[Any, Any]] = {}  # by the id that everyone outside the app uses
        self.transport: Callable[[list[dict[str, Any]]], list[str]] | None = None  # None: see `_post`
        self.schemas: list[Found] = []  # of events, as `event` has declared them
        self._typed = Typed()
        self.webhooks: dict[str, WebhookSpec] = {}
        self._entry: Entry | None = None

    def __repr__(self) -> str:
        return f"App({self.name!r})"

    def handler(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """The handler of this app's Lambda: processes the messages of its functions' queues."""
        if self._entry is None:
            from tidemill.aws.function.entry import serving  # imports the AWS adapters

            self._entry = serving(self)
        return self._entry.handle(event, context)

    @overload
    def function(self, fn: Callable[[AsyncContext[D]], Coroutine[Any, Any, R]], /) -> AsyncFunction[D, R]: ...
    @overload
    def function(self, fn: Callable[[Context[D]], R], /) -> SyncFunction[D, R]: ...
    @overload
    def function(
        self, *, on: Event[M] | Sequence[Event[M]], **options: Unpack[FunctionOptions]
    ) -> DeclaresModel[M]: ...
    @overload
    def function(
        self, *, on: Plain | Sequence[Plain] | None = None, **options: Unpack[FunctionOptions]
    ) -> Declares: ...
    def function(self, fn: Any = None, *, on: Any = None, **options: Any) -> Any:
        """Declares a function: `@app.function(on="user/signed.up", retries=2)`.

        `on` is an event's name, an Event, a Cron, a list of up to 10 of them, or left out: then only invoke
        starts it. Raises DeclarationError, which names every problem.
        """
        if fn is not None:
            return self._declare(fn, on, options)

        def declares(fn: Any) -> Function[Any, Any]:
            return self._declare(fn, on, options)

        return declares

    def event(self, name: str, model: type[M], *, v: str) -> Event[M]:
        """Declares what the data of an event's version is: events that do not fit it are refused.

        What it gives goes into `on=`: `on=app.event("user/signed.up", SignedUp, v="2")`. Raises DeclarationError.
        """
        from tidemill.declare.schemas import of_model, one_of_each
        from tidemill.sdk.triggers import Event

        found = of_model(name, v, model)
        one_of_each([*self.schemas, found])
        self.schemas.append(found)
        self._typed.declare(name, v, model, found.schema.schema)
        return Event(name, model, v=v)

    def upcast(self, name: str, older: str, newer: str) -> Callable[[Upcast], Upcast]:
        """Declares how data of one version becomes data of a newer one: `@app.upcast("user/signed.up", "1", "2")`.

        The function takes the older data, a dict, and returns the newer. Raises DeclarationError.
        """
        return self._typed.upcast(name, older, newer)

    def webhook(self, path: str, *, scheme: WebhookScheme, secret: str, **options: Unpack[WebhookOptions]) -> None:
        """Declares who may call `POST /w/{event_key}/{path}`: only who signs its requests by this scheme.

        `secret` names the variable that holds the secret; if it has several lines, each of them is good. `name`, `id`,
        `data` and `user` say what the event is, in CEL over `body` and `headers`. Raises DeclarationError.
        """
        from tidemill.declare.webhooks import webhook

        if path in self.webhooks:
            raise DeclarationError(f"webhook {path!r}", ["is declared twice; give one of them another name"])
        self.webhooks[path] = webhook(path, scheme, secret, options)

    def _declare(self, fn: Any, on: Any, options: dict[str, Any]) -> Function[Any, Any]:
        function = declared(self.name, fn, on, options)
        added = [function]
        if function.on_failure is not None:
            added.append(failure_function(function, function.on_failure))
        for one in added:
            one.typed = self._typed
            other = self.functions.get(one.id)
            if other is not None:
                raise DeclarationError(
                    f"function {one.id!r}",
                    [f"is declared twice, at {place(other.fn)} and at {place(one.fn)}; give one another id="],
                )
        self.functions.update({one.id: one for one in added})
        return function

    @overload
    def send(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel | None = None,
        *,
        id: str | None = None,
        user: Mapping[str, Any] | None = None,
        ts: int | None = None,
        v: str | None = None,
    ) -> list[str]: ...
    @overload
    def send(self, events: Sequence[Mapping[str, Any]], /) -> list[str]: ...
    def send(self, name: str | Sequence[Mapping[str, Any]], data: Any = None, **fields: Any) -> list[str]:
        """Sends one event, or several at once, and returns their ids. `ts` is milliseconds since the epoch.

        Posts to `TIDEMILL_URL` with `TIDEMILL_EVENT_KEY`, or in Lambda to the deployment's bus. Raises EventError for
        invalid events, and ApiError for other errors of the platform. Inside a function, `ctx.step.send_event`
        sends exactly once.
        """
        return (self.transport or _post)(_events(name, data, fields))

    @overload
    async def asend(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel | None = None,
        *,
        id: str | None = None,
        user: Mapping[str, Any] | None = None,
        ts: int | None = None,
        v: str | None = None,
    ) -> list[str]: ...
    @overload
    async def asend(self, events: Sequence[Mapping[str, Any]], /) -> list[str]: ...
    async def asend(self, name: str | Sequence[Mapping[str, Any]], data: Any = None, **fields: Any) -> list[str]:
        """As `send`, for async code; does not block the event loop."""
        events = _events(name, data, fields)
        if self.transport is not None:
            return self.transport(events)
        import asyncio  # a caller that awaits has loaded asyncio already

        return await asyncio.to_thread(_post, events)


def _events(first: str | Sequence[Mapping[str, Any]], data: Any, fields: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(first, str):
        return plain_events({"name": first, "data": data, **fields})
    if data is not None or fields:
        raise TypeError("send(name, data, ...) sends one event, send([events]) several: the fields go into each")
    return plain_events(first)


def _post(events: list[dict[str, Any]]) -> list[str]:
    if os.environ.get("TIDEMILL_BUS") and not os.environ.get("TIDEMILL_URL"):
        from tidemill.aws.function.app_send import publish  # only in a Lambda, which has loaded it already

        return publish(events)
    from tidemill.sdk.client import post  # imports HTTP

    return post(events)
