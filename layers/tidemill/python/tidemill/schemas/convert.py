"""A schema as OpenAPI 3.0 says it, which is what EventBridge's schema registry takes.

OpenAPI 3.0 has an older JSON Schema: what it has no word for is refused with the reason, never left out, for a reader
of the registry would take the rest for the whole. Remarks (formats that it does not know, examples) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from tidemill.schemas.walk import Pointer, at, shown, target

_SAME = frozenset(
    {
        *("title", "description", "default", "format", "enum", "multipleOf", "maximum", "minimum", "maxLength"),
        *("minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required"),
        *("readOnly", "writeOnly", "deprecated"),
    }
)
_REMARKS = frozenset(
    {"$schema", "$id", "$comment", "$defs", "definitions", "examples", "$anchor", "contentEncoding"}
    | {"contentMediaType", "contentSchema", "discriminator"}
)
_LISTS = ("allOf", "anyOf", "oneOf")
_NULL = {"type": "null"}
_SOURCE = "tidemill"


class CannotConvert(Exception):
    """Why, with the place."""


def document(name: str, version: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document of an event's version as it is on the bus. Raises CannotConvert."""
    parts = _Parts(schema)
    data = parts.convert(schema, ())
    components = {
        "AWSEvent": {
            "type": "object",
            "required": ["detail-type", "source", "detail"],
            "x-amazon-events-detail-type": name,
            "x-amazon-events-source": _SOURCE,
            "properties": {
                "detail-type": {"type": "string"},
                "source": {"type": "string"},
                "detail": {"$ref": "#/components/schemas/Event"},
            },
        },
        "Event": {
            "type": "object",
            "required": ["name", "data", "id"],
            "properties": {
                "name": {"type": "string", "enum": [name]},
                "data": data,
                "user": {"type": "object"},
                "id": {"type": "string"},
                "ts": {"type": "integer", "format": "int64"},
                "v": {"type": "string", "enum": [version]},
            },
        },
        **parts.named(),
    }
    return {
        "openapi": "3.0.0",
        "info": {"title": name, "version": version},
        "paths": {},
        "components": {"schemas": components},
    }


class _Parts:
    """The parts that references lead to become components, each under a name of its own."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._names: dict[Pointer, str] = {}
        self._made: dict[str, dict[str, Any]] = {}

    def named(self) -> dict[str, dict[str, Any]]:
        return self._made

    def convert(self, schema: object, place: Pointer) -> dict[str, Any]:
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        given = cast("dict[str, Any]", schema)
        made: dict[str, Any] = {}
        for key, value in given.items():
            made.update(self._keyword(key, value, (*place, key)))
        made.update(_types(given, made))
        if "$ref" in given:
            reference = self._reference(str(given["$ref"]), place)
            made = {**made, "allOf": [reference, *made.get("allOf", ())]} if made else reference
        return made

    def _keyword(self, key: str, value: Any, place: Pointer) -> dict[str, Any]:
        if key in _SAME:
            return {key: value}
        if key in _REMARKS or key in ("type", "$ref"):
            return {}
        if key == "const":
            return {"enum": [value]}
        if key in ("exclusiveMinimum", "exclusiveMaximum"):
            return {key.replace("exclusiveM", "m"): value, key: True}
        if key in _LISTS:
            return self._list(key, value, place)
        if key == "properties":
            return {key: {name: self.convert(each, (*place, name)) for name, each in value.items()}}
        if key in ("items", "additionalProperties", "not"):
            return {key: value if isinstance(value, bool) and key != "items" else self.convert(value, place)}
        raise CannotConvert(f"{shown(place)}: OpenAPI 3.0 has no {key!r}")

    def _list(self, key: str, value: list[Any], place: Pointer) -> dict[str, Any]:
        """One of several that is null alone makes the others nullable."""
        others = [each for each in value if each != _NULL]
        made = [self.convert(each, (*place, number)) for number, each in enumerate(others)]
        if len(others) == len(value) or key == "allOf":
            return {key: made}
        if len(made) == 1:
            return {"allOf": made, "nullable": True}
        return {key: made, "nullable": True}

    def _reference(self, reference: str, place: Pointer) -> dict[str, Any]:
        to = target(self._root, reference)
        if to is None:
            raise CannotConvert(f"{shown(place)}: refers to {reference!r}, and nothing is there")
        if to not in self._names:
            name = self._names[to] = _name(to, self._names.values())
            self._made[name] = {}
            self._made[name] = self.convert(at(self._root, to), to)
        return {"$ref": f"#/components/schemas/{self._names[to]}"}


def _types(given: dict[str, Any], made: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    types = given.get("type")
    if types is None:
        return
    listed = cast("list[str]", types) if isinstance(types, list) else [str(types)]
    others = [each for each in listed if each != "null"]
    if len(others) < len(listed):
        yield "nullable", True
    if not others:
        yield "enum", [None]
    elif len(others) == 1:
        yield "type", others[0]
        if others[0] == "array" and "items" not in made:
            yield "items", {}  # which OpenAPI 3.0 demands
    else:
        yield "allOf", [*made.get("allOf", ()), {"anyOf": [_of_type(each) for each in others]}]


def _of_type(name: str) -> dict[str, Any]:
    return {"type": name, "items": {}} if name == "array" else {"type": name}


def _name(place: Pointer, taken: Any) -> str:
    wanted = "Data" + "".join(f".{part}" for part in place if part not in ("$defs", "definitions"))
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "._-") else "_" for sign in wanted)
    number, name = 1, plain
    while name in taken:  # ends: each name is tried once
        number += 1
        name = f"{plain}_{number}"
    return name


def text(name: str, version: str, schema: str) -> str:
    return msgspec.json.encode(document(name, version, msgspec.json.decode(schema))).decode()
