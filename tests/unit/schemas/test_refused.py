"""What is no schema of an event: each a sentence with its place, and nothing is fetched or tried out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tidemill.declare.schemas import of_folder, of_value, one_of_each
from tidemill.errors import DeclarationError
from tidemill.schemas.check import problems as unfit
from tidemill.schemas.refuse import name_problem, problems

NODE = {"$ref": "#/$defs/node"}


def recursive(node: dict[str, Any]) -> dict[str, Any]:
    return {"$ref": "#/$defs/node", "$defs": {"node": node}}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "is a JSON object"),
        ({"type": "objekt"}, "#/type: "),
        ({"properties": {"a": {"minimum": "x"}}}, "#/properties/a/minimum: "),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
        ({"$schema": 3}, "2020-12"),
        ({"$ref": "https://example.com/order.json"}, "outside of the schema, which is never fetched"),
        ({"$ref": "other.json#/$defs/a"}, "outside of the schema, which is never fetched"),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "#/properties/a/$ref: refers to '#/$defs/gone', and nothing"),
        ({"title": "x", "$ref": "#/title"}, "which is no schema"),
        ({"properties": {"a": {"$id": "b"}}}, "only the whole schema has an $id"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "#/properties/a/pattern: is a pattern that takes more"),
        ({"properties": {"a": {"pattern": r"(a)\1"}}}, "#/properties/a/pattern: is a pattern that takes more"),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "#/properties/a/pattern"),
        (recursive({"allOf": [NODE]}), "never end"),
        (recursive({"anyOf": [{"not": NODE}, {"type": "string"}]}), "never end"),
        (
            recursive({"anyOf": [{"properties": {"a": NODE}}, {"properties": {"a": NODE, "b": NODE}}]}),
            "would double the work",
        ),
        (recursive({"properties": {"a": NODE}, "patternProperties": {"a": NODE}}), "would double the work"),
    ],
)
def test_a_schema_that_cannot_be_is_refused_by_its_place(schema: Any, said: str) -> None:
    found = problems(schema)
    assert found
    assert any(said in problem for problem in found), found


def test_every_problem_of_a_schema_is_named() -> None:
    found = problems({"type": "objekt", "required": 3, "properties": {"a": {"minimum": "x"}}})
    assert [problem.partition(":")[0] for problem in sorted(found)] == [
        "#/properties/a/minimum",
        "#/required",
        "#/type",
    ]


def test_references_that_double_are_refused_without_following_them() -> None:
    defs: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    (found,) = problems({"$ref": "#/$defs/a0", "$defs": {**defs, "a60": {"type": "object"}}})
    assert "schemas to one value" in found


@pytest.mark.parametrize(
    "node",
    [
        {"properties": {"kids": {"type": "array", "items": NODE}, "name": {"type": "string"}}},
        {"anyOf": [{"type": "array", "items": NODE}, {"type": "object", "additionalProperties": NODE}, {"const": 1}]},
        {"properties": {"left": NODE, "right": NODE}},
    ],
)
def test_a_recursion_into_the_data_is_a_schema(node: dict[str, Any]) -> None:
    assert problems(recursive(node)) == []


def test_a_large_event_against_a_deep_schema_takes_bounded_time() -> None:
    """The deepest recursion that is let in, each level with a union, over the deepest data and 700 KB of it."""
    node = {"anyOf": [{"type": "array", "items": NODE}, {"type": "object", "additionalProperties": NODE}, {"const": 1}]}
    assert problems(recursive(node)) == []
    deep: Any = "no one"
    for level in range(95):
        deep = {"a": deep} if level % 2 else [deep]
    wide = {"items": [1] * 340_000, "deep": deep}
    began = time.thread_time()
    assert unfit(of_value("a", "1", recursive(node), "here").schema.schema, wide)
    assert time.thread_time() - began < 5


def test_a_pattern_that_would_explode_is_matched_in_linear_time() -> None:
    schema = of_value("a", "1", {"properties": {"a": {"pattern": "^(a+)+$"}}}, "here").schema.schema
    began = time.thread_time()
    (problem,) = unfit(schema, {"a": "a" * 100_000 + "!"})
    assert problem.place == ("a",)
    assert len(problem.message) < 400
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    ("name", "v", "said"),
    [("", "1", "empty"), ("tidemill/x", "1", "platform's own"), ("a/*", "1", "stands for many"), ("a", "", "empty")],
)
def test_names_and_versions_without_a_schema(name: str, v: str, said: str) -> None:
    problem = name_problem(name, v)
    assert problem is not None
    assert said in problem


def test_formats_that_are_asserted_and_those_that_are_remarks() -> None:
    asserted = {"a": "date-time", "b": "date", "c": "time", "d": "uuid", "e": "email", "f": "uri"}
    remarks = {"g": "ipv4", "h": "hostname", "i": "iri", "j": "regex"}
    schema = {"properties": {key: {"format": name} for key, name in {**asserted, **remarks}.items()}}
    text = of_value("x", "1", schema, "here").schema.schema
    found = unfit(text, dict.fromkeys({**asserted, **remarks}, "no ["))
    assert sorted(place for (place,), _ in found) == sorted(asserted)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / "events" / name.replace("__", "/").replace("_json", ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "events"


def test_files_of_a_folder_are_schemas_by_name_and_version(tmp_path: Path) -> None:
    folder = write(tmp_path, user__signed__1_json='{"type": "object"}', user__signed__v10_json="{}", paid__1_json="{}")
    found = one_of_each(of_folder(folder))
    assert [(one.name, one.v) for one in found] == [("paid", "1"), ("user/signed", "1"), ("user/signed", "v10")]


def test_every_problem_of_every_file_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, a__1_json="{,}", b__1_json='{"type": 3}', stray_json="{}", c__1_json="{}")
    with pytest.raises(DeclarationError) as caught:
        of_folder(folder)
    said = str(caught.value)
    assert "a/1.json: line 1, column 2" in said
    assert "b/1.json: #/type" in said
    assert "stray.json: lies directly in events/" in said
    assert "c/1.json" not in said


def test_one_version_has_one_schema_and_equal_declarations_are_one(tmp_path: Path) -> None:
    first = of_value("a", "1", {"type": "object", "title": "A"}, "here")
    same = of_value("a", "1", {"title": "A", "type": "object"}, "there")
    assert len(one_of_each([first, same])) == 1
    other = of_value("a", "1", {"type": "object", "title": "B"}, "elsewhere")
    with pytest.raises(DeclarationError, match="'a' has two schemas for version '1', by here and by elsewhere"):
        one_of_each([first, other])
