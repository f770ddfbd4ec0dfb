"""The schemas within a schema: which keywords hold others, and to which of the data's parts these apply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, cast

# Applied to the same value as the schema that holds them.
HERE_ONE = ("not", "if", "then", "else")
HERE_MANY = ("allOf", "anyOf", "oneOf")
HERE_NAMED = ("dependentSchemas",)
# Applied to parts of the value.
MEMBER_ONE = ("additionalProperties", "unevaluatedProperties", "propertyNames")
MEMBER_NAMED = ("properties", "patternProperties")
ITEM_ONE = ("items", "contains", "unevaluatedItems")
ITEM_MANY = ("prefixItems",)
# Applied to nothing until they are referred to.
KEPT_ONE = ("contentSchema",)
KEPT_NAMED = ("$defs", "definitions")

Where = Literal["here", "member", "item", "kept"]
Pointer = tuple[str | int, ...]
REFERENCES = ("$ref", "$dynamicRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")

_ONE: dict[str, Where] = {
    **dict.fromkeys(HERE_ONE, "here"),
    **dict.fromkeys(MEMBER_ONE, "member"),
    **dict.fromkeys(ITEM_ONE, "item"),
    **dict.fromkeys(KEPT_ONE, "kept"),
}
_NAMED: dict[str, Where] = {
    **dict.fromkeys(HERE_NAMED, "here"),
    **dict.fromkeys(MEMBER_NAMED, "member"),
    **dict.fromkeys(KEPT_NAMED, "kept"),
}
_MANY: dict[str, Where] = {**dict.fromkeys(HERE_MANY, "here"), **dict.fromkeys(ITEM_MANY, "item")}


class Inner(NamedTuple):
    """A schema directly within another: its place there, and to what it applies."""

    place: Pointer
    where: Where
    schema: Any


def inner(schema: object) -> Iterator[Inner]:
    """The schemas directly within this one, references aside."""
    if not isinstance(schema, dict):
        return
    for key, value in cast("dict[str, Any]", schema).items():
        if key in _ONE:
            yield Inner((key,), _ONE[key], value)
        elif key in _NAMED and isinstance(value, dict):
            for name, each in cast("dict[str, Any]", value).items():
                yield Inner((key, name), _NAMED[key], each)
        elif key in _MANY and isinstance(value, list):
            for index, each in enumerate(cast("list[object]", value)):
                yield Inner((key, index), _MANY[key], each)


def every(schema: object) -> Iterator[tuple[Pointer, dict[str, Any]]]:
    """This schema and all within it that are objects, each with its place."""
    waiting: list[tuple[Pointer, object]] = [((), schema)]
    while waiting:
        place, each = waiting.pop()
        if isinstance(each, dict):
            yield place, cast("dict[str, Any]", each)
            waiting += [((*place, *found.place), found.schema) for found in inner(cast("object", each))]


def target(root: object, reference: str) -> Pointer | None:
    """The place that `#/a/b` or `#name` leads to within `root`; None: nowhere."""
    if reference in ("#", "#/"):
        return ()
    if not reference.startswith("#/"):
        return _anchor(root, reference[1:])
    from urllib.parse import unquote

    place: Pointer = ()
    here: object = root
    for part in reference[2:].split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and name in here:
            here, place = cast("dict[str, object]", here)[name], (*place, name)
        elif isinstance(here, list) and name.isdecimal() and int(name) < len(cast("list[object]", here)):
            here, place = cast("list[object]", here)[int(name)], (*place, int(name))
        else:
            return None
    return place


def at(root: Any, place: Pointer) -> Any:
    for part in place:
        root = root[part]
    return root


def shown(place: Pointer) -> str:
    return "#" + "".join(f"/{part}" for part in place)


def _anchor(root: object, name: str) -> Pointer | None:
    return next((place for place, each in every(root) if name in map(each.get, _ANCHORS)), None)
