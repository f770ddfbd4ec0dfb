"""What a change of a schema breaks: each rule by an example, and by a property what "compatible" means."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tidemill.schemas.check import problems as unfit
from tidemill.schemas.diff import changes
from tidemill.schemas.refuse import problems


def found(old: Any, new: Any) -> list[tuple[str, str, bool]]:
    return [(each.rule, each.path, each.breaking) for each in changes(old, new)]


STRING = {"anyOf": [{"type": "string"}]}
STRING_OR_1 = {"anyOf": [{"type": "string"}, {"const": 1}]}
CLOSED = {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize(
    ("old", "new", "rule", "path", "breaking"),
    [
        ({"type": "integer"}, {"type": "number"}, "type-widened", "#/type", False),
        ({"type": "number"}, {"type": "integer"}, "type-narrowed", "#/type", True),
        ({"type": "string"}, {"type": "integer"}, "type-changed", "#/type", True),
        ({"type": "string"}, {"type": ["string", "null"]}, "type-widened", "#/type", False),
        ({}, {"type": "string"}, "type-added", "#/type", True),
        ({"minLength": 1}, {"type": "string", "minLength": 1}, "type-added", "#/type", True),
        ({"required": ["a"]}, {"required": ["a", "b"]}, "required-added", "#/required", True),
        ({"required": ["a", "b"]}, {"required": ["a"]}, "required-removed", "#/required", False),
        ({"enum": [1, 2]}, {"enum": [1]}, "value-removed", "#/enum", True),
        ({"enum": [1]}, {"enum": [1, 2]}, "value-added", "#/enum", False),
        ({"enum": [True]}, {"enum": [1, True]}, "value-added", "#/enum", False),
        ({"const": True}, {"const": 1}, "value-removed", "#/const", True),
        ({"const": 3}, {"const": 3, "enum": [1]}, "value-removed", "#/const", True),
        ({"maximum": 3}, {"maximum": 4}, "limit-loosened", "#/maximum", False),
        ({"maximum": 3}, {"maximum": 2}, "limit-tightened", "#/maximum", True),
        ({"minLength": 3}, {"minLength": 4}, "limit-tightened", "#/minLength", True),
        ({"minLength": 3, "title": "x"}, {"title": "x"}, "limit-removed", "#/minLength", False),
        ({"title": "x"}, {"title": "x", "maxItems": 3}, "limit-added", "#/maxItems", True),
        ({"pattern": "a"}, {"pattern": "b"}, "pattern-changed", "#/pattern", True),
        ({"type": "string"}, {"type": "string", "format": "uuid"}, "format-added", "#/format", True),
        ({"uniqueItems": True, "title": "x"}, {"title": "x"}, "uniqueitems-removed", "#/uniqueItems", False),
        ({**CLOSED}, {**CLOSED, "properties": {"a": {"type": "string"}}}, "property-added", "#/properties/a", False),
        ({}, {"properties": {"a": {"type": "string"}}}, "property-added-to-open-object", "#/properties/a", True),
        ({"properties": {"a": {}, "b": {}}}, {"properties": {"a": {}}}, "property-removed", "#/properties/b", True),
        ({"title": "x"}, CLOSED, "additional-properties-forbidden", "#/additionalProperties", True),
        (CLOSED, {"type": "object"}, "additional-properties-allowed", "#/additionalProperties", False),
        ({"items": {"type": "integer"}}, {"items": {"type": "string"}}, "type-changed", "#/items/type", True),
        (STRING, STRING_OR_1, "anyOf-member-added", "#/anyOf", False),
        (STRING_OR_1, STRING, "anyOf-member-removed", "#/anyOf", True),
        ({"not": {"const": 1}}, {"not": {"const": 2}}, "undecided", "#/not", True),
        ({"oneOf": [{"const": 1}]}, {"oneOf": [{"const": 1}, {"const": 2}]}, "undecided", "#/oneOf", True),
        ({"not": {"const": 1}, "title": "x"}, {"title": "x"}, "constraint-removed", "#/not", False),
        ({"prefixItems": [{}]}, {"prefixItems": [{}, {}]}, "undecided", "#/prefixItems", True),
    ],
)  # fmt: skip
def test_a_change_has_a_rule(old: Any, new: Any, rule: str, path: str, breaking: bool) -> None:
    assert (rule, path, breaking) in found(old, new)


def test_remarks_and_the_same_schema_are_no_change() -> None:
    assert found({"title": "a", "format": "ipv4"}, {"description": "b"}) == []
    tree = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"kids": {"items": {"$ref": "#/$defs/n"}}}}}}
    assert found(tree, copy.deepcopy(tree)) == []


def test_a_change_behind_a_reference_is_found_where_it_is_used() -> None:
    def order(kind: str) -> dict[str, Any]:
        return {
            "properties": {"item": {"$ref": "#/$defs/item"}},
            "$defs": {"item": {"properties": {"n": {"type": kind}}}},
        }

    (change,) = changes(order("number"), order("integer"))
    assert (change.rule, change.data) == ("type-narrowed", ("item", "n"))


def test_a_recursive_schema_is_compared_once() -> None:
    def tree(kind: str) -> dict[str, Any]:
        node = {"properties": {"kids": {"items": {"$ref": "#/$defs/n"}}, "name": {"type": kind}}}
        return {"$ref": "#/$defs/n", "$defs": {"n": node}}

    assert [change.rule for change in changes(tree("number"), tree("string"))] == ["type-changed"]


def test_beside_unevaluated_everything_is_undecided() -> None:
    old = {"anyOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}
    new = {"anyOf": [True], "unevaluatedProperties": False}
    assert found(old, new)
    assert all(breaking for _, _, breaking in found(old, new))


# --- what "compatible" means, held by values ------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([None, True, False, 0, 1, 2, 5, 1.5, "", "a", "ab", "abc"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
KEYWORDS: dict[str, Any] = {
    "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
    "enum": st.lists(SCALARS, min_size=1, max_size=4),
    "const": SCALARS,
    "minimum": st.integers(0, 3),
    "maximum": st.integers(0, 5),
    "exclusiveMinimum": st.integers(0, 3),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(0, 3),
    "pattern": st.sampled_from(["^a", "b", "^$"]),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 3),
    "uniqueItems": st.booleans(),
    "required": st.lists(NAMES, max_size=2, unique=True),
    "minProperties": st.integers(0, 2),
    "multipleOf": st.sampled_from([1, 2]),
}


def inside(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    nested = {
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
        "additionalProperties": inner,
        "items": inner,
        "prefixItems": several,
        "anyOf": several,
        "allOf": several,
        "oneOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "contains": inner,
        "propertyNames": inner,
        "unevaluatedProperties": st.booleans(),
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
    }
    return st.fixed_dictionaries({}, optional={**KEYWORDS, **nested}).map(_few)


def _few(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with all keywords lets nothing in."""
    return dict(list(schema.items())[-3:])


PARTS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=KEYWORDS).map(_few), inside, max_leaves=5)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema and a change of it: some keywords go, some come, some parts are drawn anew."""
    old = {"anything": draw(inside(PARTS)), "$defs": {"a": draw(PARTS), "b": draw(PARTS)}}
    new = copy.deepcopy(old)
    for _ in range(draw(st.integers(1, 2))):
        where = draw(st.sampled_from([each for each in _objects(new) if each is not new]))
        keys = sorted(key for key in where if key != "$defs")
        if keys and draw(st.booleans()):
            where.pop(draw(st.sampled_from(keys)))
        else:
            where.update(draw(inside(PARTS)))
    return [{**each["anything"], "$defs": each["$defs"]} for each in (old, new)]  # type: ignore[return-value]


def _objects(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return [*([schema] if isinstance(schema, dict) else []), *(one for each in inner for one in _objects(each))]


SOME: list[Any] = [
    *(None, True, 0, 1, 2, 5, 1.5, "", "a", "ab", "abcd", [], [1], [1, 1], ["a", 2, None], {}, {"a": 1}, {"b": "ab"}),
    *({"a": {}, "b": []}, {"a": None, "b": 1, "c": 2}, {"a": [1, "a"], "c": {"a": 5}}),
]


@st.composite
def edits(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A small schema, and the same with one keyword that has come, has gone or is another."""
    some = st.fixed_dictionaries({}, optional=KEYWORDS).map(lambda found: dict(list(found.items())[:1]))
    keywords = {**KEYWORDS, "items": some, "additionalProperties": st.booleans() | some}
    keywords |= {
        "properties": st.dictionaries(NAMES, some, max_size=2),
        "anyOf": st.lists(some, min_size=1, max_size=2),
    }
    old = {
        key: draw(keywords[key]) for key in draw(st.lists(st.sampled_from(sorted(keywords)), max_size=2, unique=True))
    }
    changed = draw(st.sampled_from(sorted(keywords)))
    new = {key: value for key, value in old.items() if key != changed}
    if draw(st.booleans()) or changed not in old:
        new[changed] = draw(keywords[changed])
    return old, new


def holds(old: dict[str, Any], new: dict[str, Any], values: list[Any]) -> None:
    if any(change.breaking for change in changes(old, new)):
        return
    before, after = (msgspec.json.encode(each).decode() for each in (old, new))
    for value in values:
        if not unfit(before, value):
            assert unfit(after, value) == [], (old, new, value)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits())
def test_one_edit_that_is_called_compatible_refuses_no_value_of_before(pair: Any) -> None:
    holds(*pair, SOME)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs(), st.lists(VALUES, min_size=10, max_size=20))
def test_values_of_the_old_schema_fit_every_new_one_that_is_called_compatible(pair: Any, values: list[Any]) -> None:
    old, new = pair
    assume(not problems(old) and not problems(new))
    holds(old, new, [*values, *SOME])
