"""Why something is no schema of an event: every problem by its place, in one sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any, cast

import msgspec

from tidemill.limits import EVENT_ID_CHARS, EVENT_NAME_CHARS, JSON_DEPTH, KIB, SCHEMA_BYTES
from tidemill.model import PLATFORM
from tidemill.schemas import bounds
from tidemill.schemas.walk import REFERENCES, Pointer, every, inner, shown, target
from tidemill.sdk.name_rules import text_problem

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAMED = 20  # problems of one schema
_PATTERN = (
    "is a pattern that takes more than linear time, or none at all; write it without lookaround and back references"
)


def name_problem(name: object, version: object) -> str | None:
    """Why no schema can be declared under this name and version."""
    problem = text_problem(name, "the name of an event", EVENT_NAME_CHARS)
    if problem is None and str(name).startswith(PLATFORM):
        return f"names that begin with {PLATFORM!r} are the platform's own; choose another name"
    if problem is None and str(name).endswith("*"):
        return f"a schema describes the events of one name, and {name!r} stands for many; write each name out"
    return problem or text_problem(version, "the version of a schema", EVENT_ID_CHARS)


def problems(schema: object) -> list[str]:
    """Everything that is wrong with a schema; empty: data can be held against it."""
    if not isinstance(schema, dict):
        return ["#: a schema of an event is a JSON object"]
    root = cast("dict[str, Any]", schema)
    size = len(msgspec.json.encode(root))
    if size > SCHEMA_BYTES:
        return [f"#: the schema has {size:,} bytes of JSON, more than {SCHEMA_BYTES // KIB} KiB"]
    if str(root.get("$schema", DIALECT)).rstrip("#") != DIALECT:
        return [f"#/$schema: schemas of events are written in JSON Schema 2020-12, {DIALECT!r}"]
    if _deep(root):
        return [f"#: the schema nests deeper than {JSON_DEPTH} levels"]
    found = _not_meta(root) or _references(root)
    if not found and (problem := bounds.problem(root)) is not None:
        found = [f"#: the schema {problem}"]
    return found or _patterns(root)


def _deep(schema: object) -> bool:
    level: list[object] = [schema]
    for _ in range(JSON_DEPTH + 1):
        level = [each for value in level for each in _within(value)]
        if not level:
            return False
    return True


def _within(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _not_meta(root: dict[str, Any]) -> list[str]:
    """What JSON Schema itself says against it."""
    plain = {key: value for key, value in root.items() if key not in ("$schema", "$id")}
    return [_said(error) for error in islice(_meta().iter_errors(plain), _NAMED)]


@cache
def _meta() -> Any:
    import jsonschema_rs

    linear = jsonschema_rs.RegexOptions()
    return jsonschema_rs.Draft202012Validator({"$ref": DIALECT}, validate_formats=True, pattern_options=linear)


def _said(error: Any) -> str:
    place = tuple(getattr(error, "instance_path", ()))
    message = str(getattr(error, "message", error))[:300]
    if message.endswith('is not a "regex"'):
        message = _PATTERN
    return f"{shown(place)}: {message}"


def _references(root: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for place, schema in every(root):
        given = {key: _reference(root, str(schema[key])) for key in REFERENCES if key in schema}
        found += [f"{shown((*place, key))}: {problem}" for key, problem in given.items() if problem is not None]
        if place and "$id" in schema:
            found.append(f"{shown((*place, '$id'))}: only the whole schema has an $id; give the part an $anchor")
    return found


def _reference(root: dict[str, Any], reference: str) -> str | None:
    if not reference.startswith("#"):
        return f"refers to {reference[:200]!r}, outside of the schema, which is never fetched; copy it under $defs"
    place = target(root, reference)
    if place is None:
        return f"refers to {reference[:200]!r}, and nothing is there"
    if not _is_schema(root, place):
        return f"refers to {reference[:200]!r}, which is no schema"
    return None


def _is_schema(root: dict[str, Any], place: Pointer) -> bool:
    here: object = root
    rest = place
    while rest:
        step = next((one for one in inner(here) if one.place == rest[: len(one.place)]), None)
        if step is None:
            return False
        here, rest = step.schema, rest[len(step.place) :]
    return isinstance(here, (dict, bool))


def _patterns(root: dict[str, Any]) -> list[str]:
    from tidemill.schemas.check import compile_schema

    try:
        compile_schema(root)
    except ValueError as error:
        return [_said(error)]
    return []
