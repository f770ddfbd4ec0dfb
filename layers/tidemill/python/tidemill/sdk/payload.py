"""Turns events and data, as code gives them, into the plain JSON that is sent. Raises EventError with the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec

from tidemill import characters
from tidemill.errors import EventError
from tidemill.limits import EVENT_BYTES, EVENT_ID_CHARS, EVENT_NAME_CHARS, KIB
from tidemill.model import PLATFORM
from tidemill.sdk.name_rules import text_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_KEYS = ("name", "data", "id", "user", "ts", "v")


def plain_object(value: object, where: str) -> dict[str, Any]:
    """A dict, a Pydantic model or a dataclass as the JSON object that is sent (see `values.send`)."""
    from tidemill.values import send as values_sent  # imported late: an event without data does not need it
    from tidemill.values.encoding import NotSerializable

    try:
        return _checked_object(values_sent.plain_of(value, where), value, where)
    except NotSerializable as error:
        raise EventError(str(error)) from None


def passed_object(value: object, where: str) -> bytes:
    """The data that `invoke` passes, encoded: the function receives the value itself, the API its JSON."""
    from tidemill import values
    from tidemill.values import send as values_sent

    try:
        encoded = values_sent.encode_passed(value, where)
    except values.NotSerializable as error:
        raise EventError(str(error)) from None
    _checked_object(values.plain(encoded), value, where)
    return encoded


def _checked_object(plain: object, value: object, where: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise EventError(f"{where} must be an object (a dict or a Pydantic model), not {type(value).__name__}")
    return cast("dict[str, Any]", plain)


def plain_events(given: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One event or several, checked, with plain data."""
    if isinstance(given, dict) or not isinstance(given, (list, tuple)):
        return [_plain_event(given, "event")]
    if not given:
        raise EventError("there is no event to send: the list is empty")
    return [_plain_event(event, f"events[{index}]") for index, event in enumerate(given)]


def _plain_event(given: object, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        _refuse(where, f"an event is a dict with name and data, not {type(given).__name__}")
    event = {key: value for key, value in cast("dict[str, Any]", given).items() if value is not None}
    unknown = sorted(str(key) for key in event if key not in _KEYS)
    if unknown:
        _refuse(where, f"an event has no {', '.join(map(repr, unknown))}; it has {', '.join(_KEYS)}")
    _check_texts(event, where)
    if "ts" in event and (type(event["ts"]) is not int or event["ts"] < 0):
        _refuse(where, f"ts must be milliseconds since the epoch, not {event['ts']!r}")
    event["data"] = plain_object(event.get("data", {}), f"{where}.data")
    if "user" in event:
        event["user"] = plain_object(event["user"], f"{where}.user")
    encoded = msgspec.json.encode(event)
    if characters.any_in(encoded):
        _refuse(".".join([where, *map(str, characters.place_of(event) or ())]), characters.SENTENCE)
    size = len(encoded)
    if size > EVENT_BYTES:
        _refuse(where, f"{size} bytes of JSON are more than {EVENT_BYTES // KIB} KiB; keep what is large elsewhere")
    return event


def _check_texts(event: dict[str, Any], where: str) -> None:
    name = event.get("name")
    problems = [text_problem(name, "name", EVENT_NAME_CHARS)]
    if isinstance(name, str) and name.startswith(PLATFORM):
        problems.append(f"only the platform itself sends names that begin with {PLATFORM!r}: {name!r}")
    problems += [text_problem(event[key], key, EVENT_ID_CHARS) for key in ("id", "v") if key in event]
    found = [problem for problem in problems if problem]
    if found:
        _refuse(where, "; ".join(found))


def _refuse(where: str, problem: str) -> NoReturn:
    raise EventError(f"{where}: {problem}")
