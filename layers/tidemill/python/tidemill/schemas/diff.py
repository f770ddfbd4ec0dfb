"""What a change of a schema breaks, by named rules. Every change is breaking or compatible; what cannot be decided is
breaking.

Compatible means: every value that is valid under the old schema is valid under the new one, so that a sender of the
old data is not refused. The two are walked side by side, keyword by keyword; each difference is one change. A keyword
that no rule knows, a part that is referred to in another way, or a union whose members cannot be paired is
`undecided`, and breaking.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec

from tidemill.schemas.check import FORMATS
from tidemill.schemas.walk import REFERENCES, Pointer, at, every, shown, target

DataPath = tuple[str, ...]

_REMARKS = frozenset(
    {"$schema", "$id", "$comment", "$defs", "definitions", "$anchor", "title", "description", "default", "examples"}
    | {"deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema", "discriminator"}
)
_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")  # larger is narrower
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")  # smaller is narrower
_EXACT = ("pattern", "multipleOf", "enum", "const", "type", "required", "format", "uniqueItems")
_SCHEMAS = ("properties", "items", "additionalProperties", "prefixItems")
_RULED = frozenset((*_LEAST, *_MOST, *_EXACT, *_SCHEMAS, "$ref"))


class Change(NamedTuple):
    """`place`: in the schema; `data`: the part of the data that it is about."""

    rule: str
    place: Pointer
    data: DataPath
    breaking: bool

    @property
    def path(self) -> str:
        return shown(self.place)


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Every change from the old schema to the new one, in the order of the schema."""
    if _equal(old, new):
        return []
    found = list(dict.fromkeys(_Walk(old, new).compare(old, new, (), ())))
    if _unevaluated(old) or _unevaluated(new):  # what such a keyword lets in hangs on all that stands beside it
        return [each._replace(rule=each.rule if each.breaking else "undecided", breaking=True) for each in found]
    return found


def _unevaluated(schema: dict[str, Any]) -> bool:
    return any({"unevaluatedProperties", "unevaluatedItems"} & each.keys() for _, each in every(schema))


def _equal(one: Any, other: Any) -> bool:
    """As JSON: true is not 1."""
    return bool(msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted"))


class _Walk:
    def __init__(self, old: Any, new: Any) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str]] = set()  # pairs of references that are compared already

    def compare(self, old: Any, new: Any, place: Pointer, data: DataPath) -> Iterator[Change]:
        if _equal(old, new) and not _refers(old):
            return
        if new is True or new == {}:
            yield Change("constraint-removed", place, data, False)
            return
        if old is False:
            yield Change("value-allowed", place, data, False)
            return
        if new is False:
            yield Change("value-forbidden", place, data, True)
            return
        before = cast("dict[str, Any]", {} if old is True else old)
        after = cast("dict[str, Any]", new)
        if "$ref" in before or "$ref" in after:
            yield from self._references(before, after, place, data)
            return
        yield from self._keywords(before, after, place, data)

    def _references(self, old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        """Where a reference stands alone, what it leads to is compared in its place."""
        alone = [set(each) - _REMARKS <= {"$ref"} or "$ref" not in each for each in (old, new)]
        ends = self._end(self._old, old), self._end(self._new, new)
        if not all(alone) or None in ends:
            yield Change("undecided", (*place, "$ref"), data, True)
            return
        pair = (shown(place) if "$ref" not in old else str(old["$ref"]), str(new.get("$ref", shown(place))))
        if pair not in self._seen:
            self._seen.add(pair)
            yield from self.compare(ends[0], ends[1], place, data)

    def _end(self, root: Any, schema: dict[str, Any]) -> Any:
        """What a chain of references leads to; None: nowhere. (A ring is refused before.)"""
        for _ in range(100):
            if "$ref" not in schema:
                return schema
            to = target(root, str(schema["$ref"]))
            if to is None:
                return None
            found = at(root, to)
            if not isinstance(found, dict):
                return found
            schema = cast("dict[str, Any]", found)
        return None

    def _keywords(self, old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        yield from _types(old, new, place, data)
        yield from _required(old, new, place, data)
        yield from _values(old, new, place, data)
        yield from _limits(old, new, place, data)
        yield from _texts(old, new, place, data)
        yield from self._members(old, new, place, data)
        yield from self._items(old, new, place, data)
        yield from self._others(old, new, place, data)

    def _members(self, old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        before, after = old.get("properties", {}), new.get("properties", {})
        rest_before, rest_after = old.get("additionalProperties", True), new.get("additionalProperties", True)
        for name in sorted({*before, *after}):
            here, part = (*place, "properties", name), (*data, name)
            if name not in after:
                yield from self._removed(before[name], rest_after, here, part)
            elif name not in before:
                yield from self._added(rest_before, after[name], "patternProperties" in old, (here, part))
            else:
                yield from self.compare(before[name], after[name], here, part)
        if not _equal(rest_before, rest_after) or _refers(rest_before):
            here = (*place, "additionalProperties")
            if rest_after is False:
                yield Change("additional-properties-forbidden", here, data, True)
            elif rest_before is False or rest_after is True:
                yield Change("additional-properties-allowed", here, data, False)
            else:
                yield from self.compare(rest_before, rest_after, here, (*data, "*"))

    def _removed(self, was: Any, rest: Any, place: Pointer, data: DataPath) -> Iterator[Change]:
        """What the data holds there is let in as any other member is: but no code may count on it any more."""
        yield Change("property-removed", place, data, True)
        if rest is not True and rest is not False:
            yield from self.compare(was, rest, place, data)

    def _added(self, rest: Any, now: Any, patterns: bool, where: tuple[Pointer, DataPath]) -> Iterator[Change]:
        """Old data may hold under a new name what the rest of its members may be, or what a pattern lets in."""
        place, data = where
        if now is True or now == {} or (rest is False and not patterns):
            yield Change("property-added", place, data, False)
        elif isinstance(rest, dict) and not patterns:
            yield Change("property-added", place, data, False)
            yield from self.compare(rest, now, place, data)
        else:
            yield Change("property-added-to-open-object", place, data, True)

    def _items(self, old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        before, after = old.get("prefixItems"), new.get("prefixItems")
        if not _equal(before, after) or _refers(before):
            yield Change("undecided", (*place, "prefixItems"), data, True)
        before, after = old.get("items", True), new.get("items", True)
        yield from self.compare(before, after, (*place, "items"), (*data, "*"))

    def _others(self, old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        """Unions grow at their end; of every other keyword only that it is gone is known to break nothing."""
        for key in sorted(({*old, *new}) - _RULED - _REMARKS):
            here = (*place, key)
            if key in ("anyOf", "allOf") and isinstance(old.get(key), list) and isinstance(new.get(key), list):
                yield from self._union(key, old[key], new[key], here, data)
            elif key not in new and _independent(key, old):
                yield Change("constraint-removed", here, data, False)
            elif not _equal(old.get(key), new.get(key)) or _refers(old.get(key)) or key == "$dynamicRef":
                yield Change("undecided", here, data, True)

    def _union(self, key: str, old: list[Any], new: list[Any], place: Pointer, data: DataPath) -> Iterator[Change]:
        for number, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from self.compare(before, after, (*place, number), data)
        if len(new) > len(old):
            yield Change(f"{key}-member-added", place, data, key == "allOf")
        elif len(new) < len(old):
            yield Change(f"{key}-member-removed", place, data, key == "anyOf")


def _types(old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
    before, after = _listed(old.get("type")), _listed(new.get("type"))
    here = (*place, "type")
    if before == after:
        return
    if after is None or (before is not None and all(_has(after, each) for each in before)):
        yield Change("type-widened", here, data, False)
    elif before is None:
        yield Change("type-added", here, data, True)
    else:
        yield Change("type-narrowed" if any(_has(before, each) for each in after) else "type-changed", here, data, True)


def _required(old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(after - before):
        yield Change("required-added", (*place, "required"), (*data, name), True)
    for name in sorted(before - after):
        yield Change("required-removed", (*place, "required"), (*data, name), False)


def _values(old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
    """`enum` and `const` together: the values that are let in."""
    before, after = _allowed(old), _allowed(new)
    here = (*place, "const" if "const" in old or "const" in new else "enum")
    if _equal(before, after):
        return
    if after is None:
        yield Change("values-unlimited", here, data, False)
    elif before is None:
        yield Change("values-limited", here, data, True)
    else:
        if not all(_among(each, after) for each in before):
            yield Change("value-removed", here, data, True)
        if not all(_among(each, before) for each in after):
            yield Change("value-added", here, data, False)


def _limits(old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
    for key in (*_LEAST, *_MOST):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if after is None:
            yield Change("limit-removed", (*place, key), data, False)
        elif before is None:
            yield Change("limit-added", (*place, key), data, True)
        else:
            narrower = after > before if key in _LEAST else after < before
            yield Change("limit-tightened" if narrower else "limit-loosened", (*place, key), data, narrower)


def _texts(old: dict[str, Any], new: dict[str, Any], place: Pointer, data: DataPath) -> Iterator[Change]:
    for key in ("pattern", "format", "multipleOf", "uniqueItems"):
        before, after = _asserted(key, old.get(key)), _asserted(key, new.get(key))
        if before == after:
            continue
        if after is None:
            yield Change(f"{key.lower()}-removed", (*place, key), data, False)
        else:
            yield Change(f"{key.lower()}-{'added' if before is None else 'changed'}", (*place, key), data, True)


def _asserted(key: str, value: Any) -> Any:
    """A format that is a remark, and an array that may repeat its items, say nothing."""
    if key == "format":
        return value if value in FORMATS else None
    return None if value is False else value


def _listed(types: Any) -> list[str] | None:
    if types is None:
        return None
    return sorted(cast("list[str]", types)) if isinstance(types, list) else [str(types)]


def _has(types: list[str], name: str) -> bool:
    return name in types or (name == "integer" and "number" in types)


def _allowed(schema: dict[str, Any]) -> list[Any] | None:
    found: list[Any] | None = schema.get("enum")
    if "const" not in schema:
        return found
    constant = schema["const"]
    return [constant] if found is None or _among(constant, found) else []


def _among(value: Any, values: list[Any]) -> bool:
    return any(_equal(value, each) for each in values)


def _independent(key: str, schema: dict[str, Any]) -> bool:
    """Whether the keyword only takes values away, whatever stands beside it. `additionalProperties` and the
    `unevaluated…` ones look at what the others have let in, `then` and `else` at their `if`."""
    beside = {"unevaluatedProperties", "unevaluatedItems"} & schema.keys()
    if key == "patternProperties":
        return not beside and schema.get("additionalProperties", True) is True
    return not beside and key not in ("if", "then", "else", "minContains", "maxContains", "contains", "$dynamicRef")


def _refers(schema: Any) -> bool:
    """Whether anything in it refers to elsewhere, where something may have changed."""
    if isinstance(schema, dict):
        given = cast("dict[str, Any]", schema)
        return any(key in given for key in REFERENCES) or any(map(_refers, given.values()))
    return isinstance(schema, list) and any(_refers(each) for each in cast("list[object]", schema))
