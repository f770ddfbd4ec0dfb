"""The published JSON Schema is what the parser checks: on files bent in every way they agree, path by path.

The parser reads the schema with a small reader of its own (`definition_shape`); here it is held against the
`jsonschema` package, which knows all of the standard.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from tidemill.declare.problems import Problems
from tidemill.definitions.definition import parse
from tidemill.definitions.schema import CHECKED, SAID, fit, schema
from tidemill.definitions.strict_json import join

DOCS = Path(__file__).parents[3] / "docs"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:crm"

# Every key that there is, so that each can be bent.
WHOLE: dict[str, Any] = {
    "$schema": "./function.schema.json",
    "id": "everything",
    "name": "Everything",
    "triggers": [
        {"event": "a/*", "expression": "data.x > 1"},
        {"cron": "0 9 * * *", "timezone": "UTC", "jitter": "30s"},
    ],
    "steps": {
        "one": {"id": "one", "name": "One", "path": "./one", "runtime": {"type": "docker", "cpu": 256, "memory": 512}},
        "two": {
            "path": "file://./two",
            "runtime": {"type": "lambda", "handler": "a.b", "memory": 128},
            "after": [{"step": "one", "if": "steps.one.ok", "wait": "5m"}, {"step": "$trigger", "wait": 5}],
            "join": "any",
            "retries": {"attempts": 3},
            "timeout": "1m",
        },
        "three": {"runtime": {"type": "http", "url": "https://x", "headers": {"A": "b"}, "private": True}},
        "four": {
            "path": "x.wasm",
            "runtime": {"type": "wasm", "memory": 1, "fuel": 5},
            "after": [{"step": "two", "async": {"event": "e", "ttl": "2d", "match": "data.x", "onTimeout": True}}],
        },
        "five": {"runtime": {"type": "lambda", "arn": ARN}},
        "six": {"runtime": {"type": "docker", "image": "a"}},
    },
    "retries": {"attempts": 2},
    "concurrency": [{"limit": 1, "key": "data.x", "scope": "app", "counts": "runs"}],
    "throttle": {"limit": 1, "period": "1m", "burst": 2, "key": "data.x"},
    "rateLimit": {"limit": 1, "period": 60, "key": "data.x"},
    "debounce": {"period": "1m", "timeout": "1h", "key": "data.x"},
    "batchEvents": {"maxSize": 5, "timeout": "1m", "key": "data.x"},
    "priority": "1",
    "singleton": {"mode": "skip", "key": "data.x"},
    "idempotency": "data.x",
    "cancel": [{"event": "a", "match": "data.x", "timeout": "1d"}, {"event": "b", "if": "async.data.x"}],
    "timeouts": {"start": "1h", "finish": "1d"},
}


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """A `$` at the end means the end, as in the standard; Python's would allow a line break after it."""
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


Validator: Any = validators.extend(Draft202012Validator, {"pattern": _pattern})


def refused_by_schema(value: Any) -> set[str]:
    """The paths, as the parser gives them: what is missing or unknown is told at its own place."""
    paths: set[str] = set()
    for error in Validator(schema()).iter_errors(value):
        where = ""
        for part in error.absolute_path:
            where = join(where, part)
        if error.validator == "required":
            paths |= {join(where, key) for key in error.validator_value if key not in error.instance}
        elif error.validator == "additionalProperties":
            paths |= {join(where, key) for key in error.instance if key not in error.schema.get("properties", {})}
        elif "propertyNames" in error.absolute_schema_path:
            paths.add(join(where, error.instance))
        else:
            paths.add(where or "the file")
    return paths


def refused_by_parser(value: Any) -> set[str]:
    problems = Problems()
    fit(value, problems)
    return {problem.partition(": ")[0] for problem in problems.found}


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in members:
        yield from _places(one, (*path, key))


PLACES = list(_places(WHOLE))
VALUES: Any = st.one_of(
    st.sampled_from([None, True, False, 0, 1, -1, 1.0, 1.5, 21, 22, 256, 1e9, "", "x", "5m", "0s", "a\n", "any"]),
    st.sampled_from(
        ["docker", "lambda", "http", "wasm", "skip", "$trigger", "/etc", "https://x", "http:x", "a b", "é"]
    ),
    st.sampled_from([[], {}, [{}], [None], {"type": "docker"}, {"type": "http"}, {"event": "x"}, {"cron": "x"}]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"), max_size=5),
    st.integers(-(2**63), 2**64),
)
KEYS = st.sampled_from(["id", "arn", "image", "path", "event", "cron", "match", "if", "onTimeout", "ttl", "x", "a b"])


@st.composite
def bent(draw: Any) -> Any:
    """The whole definition with up to four things changed, added or taken away."""
    value: Any = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 4))):
        *parents, last = draw(st.sampled_from(PLACES[1:]))
        holder = value
        try:
            for part in parents:
                holder = holder[part]
            match draw(st.sampled_from(["change", "remove", "add"])):
                case "change":
                    holder[last] = copy.deepcopy(draw(VALUES))
                case "remove":
                    del holder[last]
                case _:
                    holder[last][draw(KEYS)] = copy.deepcopy(draw(VALUES))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken the place away
    return json.loads(json.dumps(value))  # an index of a list that has become an object is a text in JSON


@given(value=bent())
@settings(max_examples=150)
def test_schema_and_parser_refuse_the_same_places(value: Any) -> None:
    assert refused_by_parser(value) == refused_by_schema(value)


@given(value=bent())
@settings(max_examples=100)
def test_the_whole_parser_refuses_all_of_these_places_and_never_breaks(value: Any) -> None:
    problems = Problems()
    definition = parse(json.dumps(value).encode(), DOCS, problems)
    places = {problem.partition(": ")[0] for problem in problems.found}
    assert (definition is None) == bool(places)
    assert places >= refused_by_parser(value)


@pytest.mark.parametrize("value", [None, 5, "x", [], {}, True])
def test_what_is_no_definition_at_all(value: Any) -> None:
    assert refused_by_parser(value) == refused_by_schema(value) != set()


def test_the_whole_fits() -> None:
    assert refused_by_parser(WHOLE) == refused_by_schema(WHOLE) == set()
    assert fit(WHOLE, Problems()) == WHOLE


def test_the_published_schema_is_the_one_that_is_checked() -> None:
    assert json.loads((DOCS / "reference" / "function.schema.json").read_text("utf-8")) == schema()
    Draft202012Validator.check_schema(schema())


def _schemas(of: Any) -> Iterator[dict[str, Any]]:
    """The schema, and all schemas within it."""
    if not isinstance(of, dict):
        return
    yield of
    for key, inner in of.items():
        if key in ("properties", "$defs"):
            for one in inner.values():
                yield from _schemas(one)
        elif key == "allOf":
            for one in inner:
                yield from _schemas(one)
        elif key in ("items", "additionalProperties", "propertyNames", "if", "then", "else", "not"):
            yield from _schemas(inner)


def test_the_schema_uses_only_what_the_parser_knows() -> None:
    used = {key for one in _schemas(schema()) for key in one}
    assert used <= CHECKED | SAID, used - CHECKED - SAID
    assert all(one["not"] == {} for one in _schemas(schema()) if "not" in one)
    assert all("errorMessage" in one for one in _schemas(schema()) if "pattern" in one or "not" in one)


def test_whatever_an_editor_offers_has_a_description() -> None:
    names = ("triggers", "steps", "concurrency", "throttle", "cancel", "timeouts")
    assert all(schema()["properties"][name]["description"] for name in names)
    for one in _schemas(schema()):
        for example in one.get("examples", ()):
            validator = Validator({**one, "$defs": schema()["$defs"], "$schema": schema()["$schema"]})
            assert list(validator.iter_errors(example)) == [], example
