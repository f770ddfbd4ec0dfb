"""Parses the bodies of `/v1` calls: a JSON object with known fields. One sentence reports the first problem."""

from __future__ import annotations

from typing import Any, cast

from tidemill import values
from tidemill.limits import EVENT_BYTES, KIB
from tidemill_lambdas.http import Refused
from tidemill_lambdas.router import Call
from tidemill_lambdas.strict_json import loads, unstorable


def fields(call: Call, *known: str, optional: bool = False) -> dict[str, Any]:
    """The fields of the body; only `known` ones are allowed. An empty `optional` body is `{}`."""
    body = call.request.bounded("send less")
    if optional and not body:
        return {}
    value = loads(body)
    if not isinstance(value, dict):
        wanted = f"a JSON object with {_listed(known)}" if known else "{} or empty"
        raise Refused(400, f"the body must be {wanted}")
    found = cast("dict[str, Any]", value)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise Refused(400, f"the body has no field {unknown[:100]!r}; it has {_listed(known) or 'none'}")
    if (problem := unstorable(found)) is not None:
        where = ".".join(map(str, problem[0]))
        raise Refused(400, f"{where[:200]}: {problem[1]}")
    return found


def json_object(found: dict[str, Any], name: str) -> bytes | None:
    """The field, an object, encoded like a value in a journal; None if it is missing."""
    if name not in found:
        return None
    if not isinstance(found[name], dict):
        raise Refused(400, f"{name} must be a JSON object")
    return small(found[name], name)


def small(value: object, name: str) -> bytes:
    """The encoded value, which must not be larger than an event."""
    encoded = values.encode(value, name)
    if len(encoded) > EVENT_BYTES:
        raise Refused(413, f"{name} has {len(encoded)} bytes of JSON, more than {EVENT_BYTES // KIB} KiB; send less")
    return encoded


def _listed(known: tuple[str, ...]) -> str:
    return " and ".join(map(repr, known))
