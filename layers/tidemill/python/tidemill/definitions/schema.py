"""Checks the shape of a definition against the published JSON Schema, `function.schema.json`, which editors use too.

It knows only the part of JSON Schema that the file uses (a test compares the two). Every problem is one sentence at
the path where the user can fix it:

    a key that is unknown      at the key, with the one that was probably meant
    a key that is missing      at the key
    a value that is wrong      at the value, which is left out so that the rest can still be checked

An `errorMessage` in the schema, which editors show too, replaces the sentence that this module would write.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tidemill.declare.problems import Problems
from tidemill.definitions.strict_json import join

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema = dict[str, Any]

_EXACT = 2**53

# The keywords that constrain a value; the others are for people, or are handled with one of these.
CHECKED = frozenset(
    {
        *("$ref", "type", "const", "enum", "not", "allOf", "if", "then", "else"),
        *("required", "properties", "additionalProperties", "propertyNames", "minProperties", "maxProperties"),
        *("items", "minItems", "maxItems", "minLength", "maxLength", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum"),
    }
)
SAID = frozenset({"$schema", "$id", "$defs", "title", "description", "examples", "default", "errorMessage"})

_KINDS: dict[str, str] = {
    "object": "an object", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "null": "null",
}  # fmt: skip


def text() -> str:
    """The published schema."""
    return Path(__file__).with_name("function.schema.json").read_text("utf-8")


@cache
def schema() -> Schema:
    import json

    found: Schema = json.loads(text())
    return found


def fit(value: Any, problems: Problems) -> dict[str, Any]:
    """The parts of the value that have the right shape. Objects may lack what they require; `problems` says so."""
    shape = _Shape(schema(), problems)
    shape.check(value, schema(), "")
    kept = shape.kept(value, "")
    return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


class _Shape:
    def __init__(self, root: Schema, problems: Problems) -> None:
        self._root = root
        self._problems = problems
        self._wrong: set[str] = set()  # the paths of wrong values, which are left out

    def check(self, value: Any, schema: Any, where: str) -> bool:
        """Whether the value fits."""
        if schema is True:
            return True
        if schema is False:
            return self._refuse(where, "does not belong here")
        before = len(self._problems.found)
        known = cast("Schema", schema)
        if "$ref" in known:
            self.check(value, self._root["$defs"][known["$ref"].rpartition("/")[2]], where)
        if self._value(value, known, where):
            if isinstance(value, dict):
                self._object(cast("dict[str, Any]", value), known, where)
            elif isinstance(value, list):
                self._list(cast("list[object]", value), known, where)
        for one in known.get("allOf", ()):
            self.check(value, one, where)
        if "if" in known:
            branch = "then" if _Shape(self._root, Problems()).check(value, known["if"], where) else "else"
            self.check(value, known.get(branch, True), where)
        return len(self._problems.found) == before

    def kept(self, value: Any, where: str) -> Any:
        """The value without its wrong parts. In a list, None replaces a wrong item: the others keep their index."""
        if where in self._wrong:
            return None
        if isinstance(value, dict):
            members = {key: self.kept(one, join(where, key)) for key, one in cast("dict[str, Any]", value).items()}
            return {key: one for key, one in members.items() if join(where, key) not in self._wrong}
        if isinstance(value, list):
            return [self.kept(one, join(where, index)) for index, one in enumerate(cast("list[object]", value))]
        whole = isinstance(value, float) and value.is_integer() and abs(value) < _EXACT  # 5.0 is a whole number
        return int(value) if whole else value

    def _value(self, value: Any, schema: Schema, where: str) -> bool:
        """Checks the value itself. The first of several problems is enough."""
        problem = _problem(value, schema)
        if problem is None:
            return True
        sentence = schema.get("errorMessage") or problem
        told = "not" in schema or problem.startswith(("must not", "must have"))  # and needs no value beside it
        return self._refuse(where, sentence if told else f"{sentence}, not {_shown(value)}")

    def _object(self, value: dict[str, Any], schema: Schema, where: str) -> None:
        properties = cast("Schema", schema.get("properties", {}))
        others = schema.get("additionalProperties", True)
        for key in schema.get("required", ()):
            if key not in value:
                why = f": {schema['errorMessage']}" if "errorMessage" in schema else ""
                self._problems.add(join(where, key), f"is missing{why}")
        for key, one in value.items():
            place = join(where, key)
            if key in properties:
                self.check(one, properties[key], place)
            elif others is False:
                known = ", ".join(key for key in properties if key != "$schema")
                hint = nearest(key, properties) or f"; there are {known}"
                self._refuse(place, f"is not known here{hint}")
            elif self._named(key, schema.get("propertyNames"), place):
                self.check(one, others, place)

    def _named(self, key: str, schema: Any, where: str) -> bool:
        problem = _problem(key, schema) if schema else None
        return problem is None or self._refuse(where, f"{schema['errorMessage']}, not {key!r}")

    def _list(self, value: list[Any], schema: Schema, where: str) -> None:
        if "items" in schema:
            for index, one in enumerate(value):
                self.check(one, schema["items"], join(where, index))

    def _refuse(self, where: str, problem: str) -> bool:
        if where not in self._wrong:  # one sentence per value, from the first schema that refuses it
            self._problems.add(where or "the file", problem)
        self._wrong.add(where)
        return False


def _problem(value: Any, schema: Schema) -> str | None:
    """The problem of the value itself, apart from the values inside it."""
    if "type" in schema:
        kinds: list[str] = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(value, kind) for kind in kinds):
            return f"must be {_span(kinds, schema)}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"must be {_shown(schema['const'])}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return f"must be {_or(schema['enum'])}"
    if schema.get("not") == {}:
        return "does not belong here"
    if isinstance(value, str):
        return _text_problem(value, schema)
    if _is(value, "number"):
        low = value < schema.get("minimum", -math.inf) or value <= schema.get("exclusiveMinimum", -math.inf)
        return f"must be {_span(['number'], schema)}" if low or value > schema.get("maximum", math.inf) else None
    return _size_problem(value, schema)


def _text_problem(value: str, schema: Schema) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return "must not be empty"
    if len(value) > schema.get("maxLength", math.inf):
        return f"must have at most {schema['maxLength']:,} characters"
    if "pattern" in schema and not _compiled(schema["pattern"]).search(value):
        return f"must match {schema['pattern']}"
    return None


def _size_problem(value: Any, schema: Schema) -> str | None:
    if isinstance(value, list):
        count, least, most, what = len(cast("list[object]", value)), "minItems", "maxItems", "entries"
    elif isinstance(value, dict):
        count, least, most, what = len(cast("Schema", value)), "minProperties", "maxProperties", "keys"
    else:
        return None
    if count < schema.get(least, 0):
        return "must not be empty"
    return f"must have at most {schema[most]} {what}" if count > schema.get(most, math.inf) else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as JSON Schema means it: `$` matches only at the very end, not before a last line break."""
    return re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern)


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return kind == "number" or isinstance(value, int) or value.is_integer()
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, types[kind])


def _same(value: Any, other: Any) -> bool:
    """Equality of JSON: 1 and true differ."""
    return isinstance(value, bool) == isinstance(other, bool) and value == other


def _span(kinds: list[str], schema: Schema) -> str:
    if kinds in (["integer"], ["number"]) and "minimum" in schema:
        kind = _KINDS["integer" if schema.get("type") == "integer" else "number"]
        most = f" to {schema['maximum']}" if "maximum" in schema else ""
        return f"{kind} from {schema['minimum']}{most}"
    return " or ".join(_KINDS[kind] for kind in kinds)


def _or(values: list[Any]) -> str:
    shown = [_shown(value) for value in values]
    return " or ".join([", ".join(shown[:-1]), shown[-1]])


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return _KINDS["object" if isinstance(value, dict) else "array"]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
