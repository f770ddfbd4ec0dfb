"""An event as a function sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast

import msgspec

from tidemill.errors import NonRetriableError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typing_extensions import TypeVar

    from tidemill import model
    from tidemill.sdk.typed import Newer

    D_co = TypeVar("D_co", default=dict[str, Any], covariant=True)
else:
    from typing import TypeVar

    D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True, slots=True)
class EventView(Generic[D_co]):
    """`ctx.event`. `data` is a dict, or the function's model; `ts` is milliseconds since the epoch.

    A dataclass, so that a step or a function may return it.
    """

    id: str
    name: str
    data: D_co
    user: dict[str, Any] | None
    ts: int
    v: str | None


class Memory(Protocol):
    """What a run remembers of its validated data."""

    def recall(self) -> tuple[bytes, ...] | None: ...

    def keep(self, data: tuple[bytes, ...]) -> None: ...


def views(
    events: tuple[model.Event, ...],
    data_type: type[BaseModel] | None,
    memory: Memory | None,
    newer: Newer | None = None,
) -> tuple[EventView[Any], ...]:
    """The events as the code sees them.

    A model or an upcast that draws something of its own (an id, the time) would give other data in each replay: what
    it gave first is remembered, where doing the same again gives something else.
    """
    if (data_type is None and newer is None) or memory is None:
        return tuple(view(event, data_type, newer) for event in events)
    data = _recalled(memory, data_type)
    if data is None:
        data = [_made(event, data_type, newer) for event in events]
        _keep(memory, events, data, data_type, newer)
    return tuple(_view(event, each, newer) for event, each in zip(events, data, strict=True))


def _recalled(memory: Memory, data_type: type[BaseModel] | None) -> list[Any] | None:
    """None where there is nothing to recall, or the code asks for another model than it did."""
    from tidemill import values

    known = memory.recall()
    try:
        data = [values.decode(each) for each in known or ()]
    except ValueError:
        return None
    return data if data and all(type(each) is (data_type or dict) for each in data) else None


def _keep(
    memory: Memory,
    events: tuple[model.Event, ...],
    data: list[Any],
    data_type: type[BaseModel] | None,
    newer: Newer | None,
) -> None:
    from tidemill import values
    from tidemill.values.identical import identical

    if not identical([_made(event, data_type, newer) for event in events], data):
        memory.keep(tuple(values.encode(each, "ctx.event.data") for each in data))


def view(event: model.Event, data_type: type[BaseModel] | None = None, newer: Newer | None = None) -> EventView[Any]:
    """A view of its own for each execution: code may change what it is given, and the next must not see that.

    Raises NonRetriableError where the data does not fit the model: the same event never will.
    """
    return _view(event, _made(event, data_type, newer), newer)


def _made(event: model.Event, data_type: type[BaseModel] | None, newer: Newer | None) -> Any:
    """The data as the code is given it: brought to its version, then to its model."""
    data: Any = event.data if newer is None else newer.data(msgspec.structs.replace(event, data=_copied(event.data)))
    return _copied(data) if data_type is None else _parsed(event, data, data_type)


def _view(event: model.Event, data: Any, newer: Newer | None) -> EventView[Any]:
    v = event.v if newer is None else newer.version(event)
    return EventView(event.id, event.name, data, _copied(event.user), event.ts, v)


def plain(event: EventView[Any]) -> dict[str, Any]:
    """As a program in another language is given it."""
    return {
        "id": event.id,
        "name": event.name,
        "data": _copied(event.data),
        "user": _copied(event.user),
        "ts": event.ts,
        "v": event.v,
    }


def _copied(value: object) -> Any:
    """Objects and arrays anew; what they hold cannot be changed."""
    if type(value) is dict:
        return {key: _copied(one) for key, one in cast("dict[str, object]", value).items()}
    if type(value) is list:
        return [_copied(one) for one in cast("list[object]", value)]
    return value


def _parsed(event: model.Event, data: object, data_type: type[BaseModel]) -> BaseModel:
    found: BaseModel = parsed(data, data_type, f"the event {event.id} ({event.name})")
    return found


def parsed(data: object, data_type: type[BaseModel], what: str) -> Any:
    """In JSON mode: a strict model takes dates and the like as the text that they were sent as.

    Raises NonRetriableError where the data does not fit.
    """
    if isinstance(data, data_type):  # passed by `invoke` as itself
        return data
    from tidemill.values import send as values_sent  # most functions declare no model

    try:
        return data_type.model_validate_json(msgspec.json.encode(values_sent.plain_of(data, "data")))
    except ValueError as error:  # a ValidationError is one, and this way pydantic need not be imported
        errors = cast("Any", error).errors() if hasattr(error, "errors") else [{"loc": (), "msg": str(error)}]
        places = "; ".join(f"{'.'.join(map(str, ('data', *e['loc'])))}: {e['msg']}" for e in errors)
        raise NonRetriableError(f"{what} does not fit {data_type.__name__}: {places}") from None
