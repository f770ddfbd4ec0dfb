"""An event as a function sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, cast

import msgspec

from tidemill.errors import NonRetriableError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from typing_extensions import TypeVar

    from tidemill import model

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


def view(event: model.Event, data_type: type[BaseModel] | None = None) -> EventView[Any]:
    """A view of its own for each execution: code may change what it is given, and the next must not see that.

    Raises NonRetriableError where the data does not fit the model: the same event never will.
    """
    data = _copied(event.data) if data_type is None else _parsed(event, data_type)
    return EventView(event.id, event.name, data, _copied(event.user), event.ts, event.v)


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


def _parsed(event: model.Event, data_type: type[BaseModel]) -> BaseModel:
    """In JSON mode: a strict model takes dates and the like as the text that they were sent as."""
    data: object = event.data
    if isinstance(data, data_type):  # passed by `invoke` as itself
        return data
    from tidemill import values_sent  # most functions declare no model

    try:
        return data_type.model_validate_json(msgspec.json.encode(values_sent.plain_of(data, "data")))
    except ValueError as error:  # a ValidationError is one, and this way pydantic need not be imported
        errors = cast("Any", error).errors() if hasattr(error, "errors") else [{"loc": (), "msg": str(error)}]
        places = "; ".join(f"{'.'.join(map(str, ('data', *e['loc'])))}: {e['msg']}" for e in errors)
        raise NonRetriableError(
            f"the event {event.id} ({event.name}) does not fit {data_type.__name__}: {places}"
        ) from None
