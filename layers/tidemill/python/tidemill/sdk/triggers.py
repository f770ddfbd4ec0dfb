"""Triggers, which start a function (`Event`, `Cron`), and `Wait`, an event that a running function waits for.

These classes only hold the values; `tidemill.declare` checks them when the function is declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, overload

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from pydantic import BaseModel
    from typing_extensions import TypeVar

    Duration = float | str | timedelta
    D_co = TypeVar("D_co", default=dict[str, Any], covariant=True)
    M = TypeVar("M", bound=BaseModel)
else:
    from typing import TypeVar

    D_co = TypeVar("D_co", covariant=True)
    M = TypeVar("M")


class Event(Generic[D_co]):
    """Starts a function for every event of a name: `Event("video/uploaded", when="event.data.size > 0")`.

    A name may end in `*`. `when` is CEL over `event`. With a Pydantic model, `ctx.event.data` is that model:
    `Event("user/signed.up", SignedUp)`, or `Event(SignedUp)` where the model names its event,
    with `event_name: ClassVar[str] = "user/signed.up"`. `v` is the version of the data that the code wants: older
    data is brought there by the app's upcasts.
    """

    __slots__ = ("model", "name", "v", "when")

    @overload
    def __init__(
        self: Event[dict[str, Any]], name: str, /, *, when: str | None = None, v: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Event[M], name: str, model: type[M], /, *, when: str | None = None, v: str | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Event[M], model: type[M], /, *, name: str | None = None, when: str | None = None, v: str | None = None
    ) -> None: ...
    def __init__(
        self,
        first: str | type[BaseModel],
        model: type[BaseModel] | None = None,
        /,
        *,
        name: str | None = None,
        when: str | None = None,
        v: str | None = None,
    ) -> None:
        if isinstance(first, type):
            self.model: type[BaseModel] | None = first
            self.name: str | None = name if name is not None else getattr(first, "event_name", None)
        else:
            if name is not None:
                raise TypeError("an event has one name: Event(name, model) or Event(model, name=...)")
            self.model = model
            self.name = first
        self.when = when
        self.v = v

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        if self.model is not None:
            parts.append(self.model.__name__)
        if self.when is not None:
            parts.append(f"when={self.when!r}")
        if self.v is not None:
            parts.append(f"v={self.v!r}")
        return f"Event({', '.join(parts)})"


class Cron(msgspec.Struct, frozen=True):
    """Starts a function on a schedule: five cron fields in a time zone, late by a random share of `jitter`.

    `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` work too. The event is `tidemill/scheduled.timer`.
    """

    expr: str
    timezone: str = "UTC"
    jitter: Duration = 0


class Wait(msgspec.Struct, frozen=True):
    """One of the events that `step.wait_for_any` waits for.

    `match` is a path that must have the same value in the run's event and in the incoming one; `when` is CEL over
    `event` (the run's own) and `async` (the incoming).
    """

    name: str
    match: str | None = None
    when: str | None = None


if TYPE_CHECKING:
    On = str | Event[dict[str, Any]] | Cron | Sequence[str | Event[dict[str, Any]] | Cron]
