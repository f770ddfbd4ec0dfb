"""Data held against a schema. A schema is compiled once in a process, when the first event of its name comes."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from tidemill.schemas.walk import every

FORMATS = frozenset({"date-time", "date", "time", "uuid", "email", "uri"})  # that are asserted; others are remarks
_COMPILED = 256  # schemas that a process keeps
_NAMED = 100  # problems of one event
_MESSAGE = 300  # characters: it quotes the data

Place = tuple[str | int, ...]


class Problem(NamedTuple):
    place: Place
    message: str


class _Validator(Protocol):
    def is_valid(self, instance: Any) -> bool: ...
    def iter_errors(self, instance: Any) -> Any: ...


def problems(schema: str, data: object) -> list[Problem]:
    """What in the data does not fit the schema (its JSON text), each by its place; the first hundred."""
    validator = _compiled(schema)
    if validator.is_valid(data):
        return []
    return [_problem(error) for error in islice(validator.iter_errors(data), _NAMED)]


def compile_schema(schema: dict[str, Any]) -> _Validator:
    """Raises ValueError (of jsonschema-rs) for what cannot be compiled."""
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(
        _asserting(schema),
        validate_formats=True,
        pattern_options=jsonschema_rs.RegexOptions(),  # the engine that is linear in the text
        retriever=_never,
    )


@lru_cache(_COMPILED)
def _compiled(schema: str) -> _Validator:
    return compile_schema(msgspec.json.decode(schema))


def _never(uri: str) -> Any:
    raise LookupError(f"a schema refers to {uri}, outside of itself, which is never fetched")


def _asserting(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy without the formats that are remarks, and without a name that would change what references mean."""
    copy: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    for _, each in every(copy):
        if each.get("format") not in FORMATS:
            each.pop("format", None)
    copy.pop("$id", None)
    return copy


def _problem(error: Any) -> Problem:
    message = str(error.message)
    return Problem(tuple(error.instance_path), message if len(message) <= _MESSAGE else f"{message[:_MESSAGE]} …")
