"""Replaces the text in an exported run by placeholders: equal text by equal ones, so that comparisons come out alike.

The names of fields, of functions, steps and events stay: the code is led by them. Numbers and times stay.
"""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import UUID

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_VALUES = ("value", "input", "data", "failure")  # of a record
_TOLD = ("reason", "by", "wait", "throttle", "unique")
_GIVEN = ("data", "user", "data_context")  # of an event
_DEFAULTS = (None, "")  # of a blocked step: until, name


class Redactor:
    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def run(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run, and its children, with no text of the user's."""
        return {
            **run,
            "run": {**run["run"], **self._about(run["run"])},
            "events": [self._event(event) for event in run["events"]],
            "records": [self._record(record) for record in run["records"]],
            "blobs": {name: self.value(blob) for name, blob in run["blobs"].items()},
            "children": [self.run(child) for child in run["children"]],
        }

    def _about(self, run: dict[str, Any]) -> dict[str, Any]:
        return {"user": self.value(run.get("user")), "reason": None, "event_ids": self.value(run.get("event_ids"))}

    def text(self, text: str) -> str:
        """As long as the text, where that is longer: code may ask for the length."""
        return f"text-{self._number(text)}".ljust(len(text), ".")

    def _number(self, text: str) -> int:
        return self._known.setdefault(text, len(self._known) + 1)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in cast("list[object]", value)]
        if isinstance(value, dict):
            return self._object(cast("dict[str, Any]", value))
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        tagged = value.get("$")
        if len(value) == 1 and isinstance(tagged, list) and tagged:
            return {"$": self._tagged(cast("list[object]", tagged))}
        return {key if _FIELD.fullmatch(key) else self.text(key): self.value(each) for key, each in value.items()}

    def _tagged(self, tagged: list[object]) -> list[object]:
        """A value that JSON lacks keeps its type, or it could not be restored."""
        match tagged:
            case ["bytes", *_]:
                return ["bytes", ""]
            case ["uuid", str(text)]:
                return ["uuid", str(UUID(int=self._number(text)))]
            case ["path", kind, str(text)]:
                return ["path", kind, self.text(text)]
            case ["url", kind, str(text)]:
                return ["url", kind, f"https://text-{self._number(text)}.invalid/"]
            case ["ip", kind, _]:
                return ["ip", kind, "::" if "6" in str(kind) else "192.0.2.1"]
            case ["model", path, fields, told]:
                rest = cast("dict[str, Any]", told)
                more = {each: self.value(rest.get(each)) for each in ("extra", "private")}
                return ["model", path, self.value(fields), {**rest, **more}]
            case ["dict" | "tuple" | "set" | "frozenset" as kind, *content]:
                return [kind, *map(self.value, content)]
            case ["dataclass" | "json" as kind, path, content]:
                return [kind, path, self.value(content)]
            case ["sent", *content]:
                return ["sent", *map(self.value, content)]
            case _:
                return tagged  # a number, a time, a member of an enum, the name of a blob

    def _event(self, event: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {key: self.value(event[key]) for key in _GIVEN if key in event}
        return {**event, **told, "id": self.text(event["id"]), "rejected": None}

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        found = dict(record)
        for field in _VALUES:
            if field in found:
                found[field] = self._failure(found[field]) if field == "failure" else self.value(found[field])
        for field in _TOLD:
            if found.get(field):
                found[field] = self.text(found[field])
        for field in ("admission", "singleton"):
            if found.get(field):
                found[field] = [0] if field == "admission" else None  # the keys of its places
        if "notes" in found:
            found["notes"] = []
        if "blocked" in found:
            found["blocked"] = [_blocked(each) for each in found["blocked"]]
        return found

    def _failure(self, failure: Any) -> Any:
        """Its type stays: the code catches errors by it."""
        if not isinstance(failure, dict):
            return failure
        told = cast("dict[str, Any]", failure)
        return {**told, **{field: self.text(told[field]) for field in ("message", "stack") if told.get(field)}}


def _blocked(blocked: list[Any]) -> list[Any]:
    """What a step waits for, without the values that it compares; the name of a signal may be made of such."""
    key, kind, since, *rest = blocked
    until, name = [*rest, *_DEFAULTS[len(rest) :]][:2]
    return [key, kind, since, until, "" if kind == "signal" else name]
