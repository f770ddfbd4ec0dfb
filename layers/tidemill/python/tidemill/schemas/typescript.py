"""Schemas as TypeScript types: one for each event's version, for those who send or read events in that language.

What TypeScript has no type for (a pattern, a limit) is left to the check at the door; the type is then wider than the
schema, never narrower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from tidemill.model import EventSchema
from tidemill.schemas.versions import newest, order
from tidemill.schemas.walk import Pointer, at, target

_SCALARS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
_HEAD = "// Made by `tidemill events codegen --lang typescript`: change the schemas, and make it again.\n"


def module(schemas: Iterable[EventSchema]) -> str:
    """A module: a type for each version's data, `Events` from names to the newest data, and `TidemillEvent`."""
    by_name: dict[str, list[EventSchema]] = {}
    for one in sorted(schemas, key=lambda one: (one.name, order(one.v))):
        by_name.setdefault(one.name, []).append(one)
    taken: set[str] = set()
    parts: list[str] = [_HEAD]
    newest_of: list[str] = []
    for name, versions in by_name.items():
        latest = newest(one.v for one in versions)
        for one in versions:
            own = identifier(f"{name} v {one.v.removeprefix('v')}", taken)
            made = _Types(msgspec.json.decode(one.schema), own, taken)
            parts += made.declarations(f"{name}, version {one.v}")
            if one.v == latest:
                newest_of.append(f"  {_text(name)}: {made.name};\n")
    parts.append("export interface Events {\n" + "".join(newest_of) + "}\n")
    parts.append(
        "export type TidemillEvent<N extends keyof Events = keyof Events> = {\n"
        "  [K in N]: {\n"
        "    name: K; data: Events[K]; id?: string; ts?: number; v?: string; user?: Record<string, unknown>;\n"
        "  };\n"
        "}[N];\n"
    )
    return "\n".join(parts)


class _Types:
    """The types of one schema: its own, and one for each part that references lead to."""

    def __init__(self, root: dict[str, Any], name: str, taken: set[str]) -> None:
        self.name = name
        self._root = root
        self._taken = taken
        self._names: dict[Pointer, str] = {(): name}
        self._waiting: list[Pointer] = [()]

    def declarations(self, what: str) -> list[str]:
        made: list[str] = []
        while self._waiting:  # ends: each place is named once
            place = self._waiting.pop(0)
            remark = f"/** The data of {_remark(what)}. */\n" if not place else ""
            made.append(f"{remark}export type {self._names[place]} = {self._type(at(self._root, place), 0)};\n")
        return made

    def _type(self, schema: Any, depth: int) -> str:
        if schema is False:
            return "never"
        if schema is True:
            return "unknown"
        given = cast("dict[str, Any]", schema)
        parts = [part for part in self._parts(given, depth) if part != "unknown"]
        return " & ".join(parts) if len(parts) > 1 else parts[0] if parts else "unknown"

    def _parts(self, given: dict[str, Any], depth: int) -> list[str]:
        """What holds at once."""
        parts: list[str] = []
        if isinstance(given.get("$ref"), str):
            parts.append(self._reference(given["$ref"]))
        if "const" in given:
            parts.append(_literal(given["const"]))
        elif "enum" in given:
            parts.append(_union(_literal(each) for each in given["enum"]))
        else:
            parts.append(self._of_types(given, depth))
        parts += [_union(self._type(each, depth) for each in given[key]) for key in ("anyOf", "oneOf") if key in given]
        parts += [_grouped(self._type(each, depth)) for each in given.get("allOf", ())]
        return parts

    def _of_types(self, given: dict[str, Any], depth: int) -> str:
        named = given.get("type")
        if named is None:
            implied = "properties" in given or "required" in given
            return self._object(given, depth) if implied else "unknown"
        types = cast("list[str]", named) if isinstance(named, list) else [str(named)]
        return _union(self._of_type(each, given, depth) for each in types)

    def _of_type(self, name: str, given: dict[str, Any], depth: int) -> str:
        if name == "object":
            return self._object(given, depth)
        if name == "array":
            return f"Array<{self._type(self._items(given), depth)}>"
        return _SCALARS[name]

    def _items(self, given: dict[str, Any]) -> Any:
        first: list[Any] = given.get("prefixItems", [])
        rest = given.get("items", True)
        return rest if not first else True if rest is True else {"anyOf": [*first, *([] if rest is False else [rest])]}

    def _object(self, given: dict[str, Any], depth: int) -> str:
        members: dict[str, Any] = given.get("properties", {})
        required: list[str] = given.get("required", [])
        rest = given.get("additionalProperties", True)
        open_ = rest is not False or "patternProperties" in given
        pad = "  " * (depth + 1)
        lines = [
            f"{pad}{_text(name)}{'' if name in required else '?'}: {self._type(members.get(name, True), depth + 1)};\n"
            for name in dict.fromkeys([*members, *required])
        ]
        if open_ and not lines:
            inner = "unknown" if rest in (True, False) or "patternProperties" in given else self._type(rest, depth + 1)
            return f"{{ [key: string]: {inner} }}"
        if open_:  # an index must fit every member, whatever they are
            lines.append(f"{pad}[key: string]: unknown;\n")
        return "{\n" + "".join(lines) + "  " * depth + "}" if lines else "{ [key: string]: never }"

    def _reference(self, reference: str) -> str:
        place = target(self._root, reference)
        if place is None:
            return "unknown"
        if place not in self._names:
            last = str(place[-1]) if place else ""
            self._names[place] = identifier(f"{self.name} {last}", self._taken)
            self._waiting.append(place)
        return self._names[place]


def _union(types: Iterable[str]) -> str:
    found = list(dict.fromkeys(types))
    if "unknown" in found:
        return "unknown"
    return "(" + " | ".join(found) + ")" if len(found) > 1 else found[0] if found else "never"


def _grouped(text: str) -> str:
    return f"({text})" if " & " in text else text


def _literal(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "unknown"
    return _text(value)


def _text(value: Any) -> str:
    """As JSON, which is TypeScript; the two line ends that are none in JSON are escaped."""
    encoded = msgspec.json.encode(value).decode()
    return encoded.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _remark(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text).replace("*/", "* /")


def identifier(text: str, taken: set[str]) -> str:
    words = "".join(sign if sign.isascii() and sign.isalnum() else " " for sign in text).split()
    plain = "".join(word[0].upper() + word[1:] for word in words) or "Event"
    plain = plain if plain[0].isalpha() else f"Event{plain}"
    number, name = 1, plain
    while name in taken or name in ("Events", "TidemillEvent", "Array"):  # ends: each name is tried once
        number += 1
        name = f"{plain}_{number}"
    taken.add(name)
    return name
