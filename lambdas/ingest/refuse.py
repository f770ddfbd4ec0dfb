"""Finds every problem of refused events, with the event's index and the place in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from tidemill.limits import DAY, DELAY, EVENT_BYTES, EVENT_ID_CHARS, EVENT_NAME_CHARS, KIB, REQUEST_EVENTS
from tidemill.model import PLATFORM
from tidemill.sdk.name_rules import text_problem
from tidemill_lambdas.http import Refused
from tidemill_lambdas.strict_json import loads, unstorable

_Json = dict[str, Any]
_Place = tuple[str | int, ...]
Check = Callable[[object, int], str | None]
_KEYS = ("name", "data", "id", "user", "ts", "v")
_MOST_NAMED = 1_000  # problems in one answer


def value_of(body: bytes, levels: int) -> Any:
    """The JSON of a body. Raises Refused; what is no JSON is no event."""
    try:
        return loads(body, levels)
    except Refused as refused:
        raise none(refused.sentence) from None


def checked(value: object, now: int, *, context: bool = False) -> list[_Json]:
    """The events of a body, if all of them are well. Raises Refused with every problem otherwise.

    `context`: they may have a data_context, which only CloudEvents have.
    """
    checks = _CHECKS | _CONTEXT if context else _CHECKS
    array = isinstance(value, list)
    sent = cast("list[object]", value) if array else [value]
    if not array and not isinstance(value, dict):
        raise none(f"an event is a JSON object with a name, not {kind(value)}")
    if not sent:
        raise none("the array is empty; send at least one event")
    if len(sent) > REQUEST_EVENTS:
        sentence = f"the request has {len(sent)} events, more than {REQUEST_EVENTS}; send them in parts"
        raise Refused(413, sentence, errors=[])
    found = [(index, *problem) for index, event in enumerate(sent) for problem in _problems(event, now, checks)]
    refuse(found, array, 400)
    events = cast("list[_Json]", sent)
    refuse([(index, *problem) for index, event in enumerate(events) for problem in _too_large(event)], array, 413)
    return [_whole_ts(event) for event in events]


def object_of(value: object) -> _Json:
    """What a webhook sent. Raises Refused if it is no object."""
    if not isinstance(value, dict):
        raise none(f"a webhook's body must be a JSON object, not {kind(value)}")
    return cast("_Json", value)


def none(sentence: str) -> Refused:
    return Refused(400, sentence, errors=[])


def refuse(found: Sequence[tuple[int, _Place, str]], array: bool, status: int) -> None:
    if not found:
        return
    index, _, message = found[0]
    where = f"event {index}: " if array else ""
    count = f" ({len(found)} problems in all, see errors)" if len(found) > 1 else ""
    nothing = "; nothing was taken in" if array else ""
    errors = [{"index": index, "loc": place, "msg": message} for index, place, message in found[:_MOST_NAMED]]
    raise Refused(status, f"{where}{message}{count}{nothing}", errors=errors)


def _problems(event: object, now: int, checks: Mapping[str, Check]) -> list[tuple[_Place, str]]:
    if not isinstance(event, dict):
        return [((), f"an event is a JSON object with a name, not {kind(event)}")]
    fields = cast("_Json", event)
    found: list[tuple[_Place, str]] = []
    if "name" not in fields:
        found.append((("name",), 'name is missing; an event has a name, such as "user/signed.up"'))
    for key, value in fields.items():
        check = checks.get(key)
        problem = check(value, now) if check else f"an event has no {key[:100]!r}, only {', '.join(_KEYS)}; use data"
        if problem is not None:
            found.append(((key,), problem))
        elif (inside := unstorable(value)) is not None:
            found.append(((key, *inside[0]), inside[1]))
    return found


def _too_large(event: _Json) -> list[tuple[_Place, str]]:
    size = len(msgspec.json.encode(event))
    sentence = f"the event has {size} bytes of JSON, more than {EVENT_BYTES // KIB} KiB; keep what is large elsewhere"
    return [((), sentence)] if size > EVENT_BYTES else []


def _name(value: object, _now: int) -> str | None:
    problem = _text(value, "name", EVENT_NAME_CHARS)
    if problem is None and str(value).startswith(PLATFORM):
        return f"names that begin with {PLATFORM!r} are the platform's own; choose another name"
    return problem


def _text(value: object, what: str, most: int) -> str | None:
    return text_problem(value, what, most) if isinstance(value, str) else f"{what} must be text, not {kind(value)}"


def _object(value: object, what: str) -> str | None:
    return None if isinstance(value, dict) else f"{what} must be a JSON object, not {kind(value)}"


def _ts(value: object, now: int) -> str | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
        return f"ts must be whole milliseconds since the epoch, not {kind(value)}"
    if value < 0:
        return f"ts must be milliseconds since the epoch, not {value:.0f}"
    if value > now + DELAY:
        return f"ts lies more than {DELAY // DAY} days in the future; it is in milliseconds since the epoch"
    return None


_CHECKS: dict[str, Check] = {
    "name": _name,
    "data": lambda value, _: _object(value, "data"),
    "id": lambda value, _: _text(value, "id", EVENT_ID_CHARS),
    "user": lambda value, _: _object(value, "user"),
    "ts": _ts,
    "v": lambda value, _: _text(value, "v", EVENT_ID_CHARS),
}
_CONTEXT: dict[str, Check] = {"data_context": lambda value, _: _object(value, "data_context")}


def _whole_ts(event: _Json) -> _Json:
    """`1790000000000.0` is a whole number, too."""
    return {**event, "ts": int(event["ts"])} if "ts" in event else event


def kind(value: object) -> str:
    if value is None:
        return "null (leave it out instead)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "text" if isinstance(value, str) else "an array" if isinstance(value, list) else "an object"
