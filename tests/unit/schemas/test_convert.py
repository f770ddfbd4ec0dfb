"""Schemas as OpenAPI 3.0: what it has a word for is said so, the rest is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.schemas.convert import CannotConvert, document


def data_of(schema: dict[str, Any]) -> Any:
    return document("user/left", "2", schema)["components"]["schemas"]["Event"]["properties"]["data"]


def test_an_event_as_it_is_on_the_bus() -> None:
    found = document("user/left", "2", {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema"})
    assert found["openapi"] == "3.0.0"
    assert found["components"]["schemas"]["AWSEvent"]["x-amazon-events-detail-type"] == "user/left"
    assert found["components"]["schemas"]["Event"]["properties"]["v"] == {"type": "string", "enum": ["2"]}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"const": 3}, {"enum": [3]}),
        ({"type": ["string", "null"]}, {"nullable": True, "type": "string"}),
        ({"exclusiveMinimum": 3}, {"minimum": 3, "exclusiveMinimum": True}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"allOf": [{"type": "string"}], "nullable": True}),
        ({"type": ["string", "integer"]}, {"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}]}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}, "b": {"not": {}}}}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        ({"examples": [1], "$comment": "x"}, {}),
    ],
)
def test_what_converts(schema: dict[str, Any], said: dict[str, Any]) -> None:
    assert data_of(schema) == said


def test_references_become_components_and_a_recursion_ends() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
        },
    }
    found = document("tree", "1", schema)["components"]["schemas"]
    assert found["Event"]["properties"]["data"] == {"$ref": "#/components/schemas/Data.node"}
    assert found["Data.node"]["properties"]["kids"]["items"] == {"$ref": "#/components/schemas/Data.node"}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"prefixItems": []}}}, "#/properties/a/prefixItems: OpenAPI 3.0 has no"),
        ({"if": {}}, "#/if: "),
        ({"patternProperties": {}}, "#/patternProperties: "),
        ({"unevaluatedProperties": False}, "#/unevaluatedProperties: "),
    ],
)
def test_what_does_not_convert_is_refused_by_its_place(schema: dict[str, Any], place: str) -> None:
    with pytest.raises(CannotConvert, match=place):
        document("a", "1", schema)
