"""Parses the bodies of `/v1` calls: a JSON object with known fields. One sentence reports the first problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tidemill import values
from tidemill.limits import EVENT_BYTES, EVENT_ID_CHARS, KIB
from tidemill.sdk.name_rules import text_problem
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


def own_id(found: Mapping[str, Any]) -> str | None:
    """The `id` that the caller gives to what the call makes; None if it is missing."""
    if "id" not in found:
        return None
    problem = text_problem(found["id"], "id", EVENT_ID_CHARS)
    if problem is not None:
        raise Refused(400, problem)
    return cast("str", found["id"])


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
