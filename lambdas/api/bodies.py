"""The bodies of `/v1` calls: a JSON object with known fields. What is wrong is said in one sentence."""

from __future__ import annotations

from typing import Any, cast

from tidemill import characters, json_numbers, values
from tidemill.limits import EVENT_BYTES, KIB
from tidemill_lambdas.http import Refused
from tidemill_lambdas.router import Call
from tidemill_lambdas.strict_json import large_number, loads


def fields(call: Call, *known: str, optional: bool = False) -> dict[str, Any]:
    """The fields of the body, none but the `known`. Where the body is `optional`, none at all is `{}`."""
    body = call.request.bounded("send less")
    if optional and not body:
        return {}
    value = loads(body)
    if not isinstance(value, dict):
        raise Refused(400, f"the body must be a JSON object with {_listed(known)}")
    found = cast("dict[str, Any]", value)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise Refused(400, f"the body has no field {unknown[:100]!r}; it has {_listed(known)}")
    place = large_number(found)
    if place is not None:
        where = ".".join(map(str, place))
        raise Refused(400, f"{where[:200]}: {json_numbers.SENTENCE}")
    place = characters.place_of(found)
    if place is not None:
        where = ".".join(map(str, place))
        raise Refused(400, f"{where[:200]}: {characters.SENTENCE}")
    return found


def json_object(found: dict[str, Any], name: str) -> bytes | None:
    """The field, an object, encoded as a value that runs remember; None where it is left out."""
    if name not in found:
        return None
    if not isinstance(found[name], dict):
        raise Refused(400, f"{name} must be a JSON object")
    return small(found[name], name)


def small(value: object, name: str) -> bytes:
    """The value, encoded; it must not be larger than an event."""
    encoded = values.encode(value, name)
    if len(encoded) > EVENT_BYTES:
        raise Refused(413, f"{name} has {len(encoded)} bytes of JSON, more than {EVENT_BYTES // KIB} KiB; send less")
    return encoded


def _listed(known: tuple[str, ...]) -> str:
    return " and ".join(map(repr, known))
