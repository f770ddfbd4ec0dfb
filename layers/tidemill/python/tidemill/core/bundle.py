"""A run as a bundle: its records as JSON that people can read, and that programs read back exactly.

A record is an object: its type, and its fields by name. The events of all records stand in one list, and a record
names them by their number there. A large value stands among the blobs, and its record names the blob.
docs/guides/bundles.md tells the whole format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast, get_args, get_type_hints

import msgspec

from tidemill.core.journal import Record
from tidemill.errors import BundleError
from tidemill.limits import VALUE_BUNDLED
from tidemill.model import Event

FORMAT = 1
Packed = dict[str, Any]


def _required(kind: type[Any]) -> int:
    """How many fields, the first ones, have no default."""
    return len(kind.__struct_fields__) - len(kind.__struct_defaults__)


_TYPES: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Record)}
_HINTS: dict[str, dict[str, Any]] = {name: get_type_hints(kind) for name, kind in _TYPES.items()}
_REQUIRED = {name: set(kind.__struct_fields__[: _required(kind)]) for name, kind in _TYPES.items()}


class Part(NamedTuple):
    """Records in a bundle's form, with the events and blobs that they are the first to name."""

    records: list[Packed]
    events: list[Event]
    blobs: dict[str, Any]


class Packer:
    """Packs the records of one run, in order."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._part = Part([], [], {})

    def add(self, record: Record) -> int:
        """Answers how many bytes the record takes, with what it is the first to name."""
        part, name = self._part, type(record).__name__
        events, blobs = len(part.events), len(part.blobs)
        packed: Packed = {"type": name}
        for field, hint in _HINTS[name].items():
            value = getattr(record, field)
            if value is not None or field in _REQUIRED[name]:
                packed[field] = self._packed(hint, value)
        part.records.append(packed)
        return len(msgspec.json.encode((packed, part.events[events:], list(part.blobs.values())[blobs:])))

    def part(self) -> Part:
        """What was added since the part before."""
        part, self._part = self._part, Part([], [], {})
        return part

    def _packed(self, hint: Any, value: Any) -> Any:
        if hint in _ONE:
            return _ONE[hint](self, value)
        return [_EACH[hint](self, each) for each in value] if hint in _EACH else msgspec.to_builtins(value)

    def _event(self, event: Event) -> int:
        content = msgspec.json.encode(event)
        if content not in self._numbers:
            self._numbers[content] = len(self._numbers)
            self._part.events.append(event)
        return self._numbers[content]

    def _value(self, value: bytes) -> Any:
        if len(value) <= VALUE_BUNDLED:
            return msgspec.Raw(value)
        name = hashlib.sha256(value).hexdigest()
        self._part.blobs[name] = msgspec.Raw(value)
        return {"$": ["blob", name]}  # a value of the user's with a key "$" is tagged, and never looks like this

    pack_event, pack_value = _event, _value


_Pack = Callable[[Packer, Any], Any]
_ONE: dict[Any, _Pack] = {bytes | None: Packer.pack_value, Event | None: Packer.pack_event}
_EACH: dict[Any, _Pack] = {tuple[bytes, ...]: Packer.pack_value, tuple[Event, ...]: Packer.pack_event}


class Unpacker:
    """Reads packed records back. Raises BundleError for what is no record."""

    def __init__(self, events: Sequence[Any], blobs: Mapping[str, Any]) -> None:
        self._events: list[Event] = [_converted(event, Event, f"event {number}") for number, event in enumerate(events)]
        self._blobs = blobs

    def records(self, packed: Sequence[Any]) -> list[Record]:
        return [self._record(each, f"record {number}") for number, each in enumerate(packed)]

    def _record(self, packed: Any, what: str) -> Record:
        told = cast("dict[str, Any]", packed) if isinstance(packed, dict) else {}
        name = told.get("type", "")
        if name not in _TYPES:
            raise BundleError(f"{what} has no type that this version of Tidemill knows")
        given = {field: value for field, value in told.items() if field != "type"}
        fields = {field: self._field(name, field, value, what) for field, value in given.items()}
        try:
            record: Record = _TYPES[name](**fields)
        except TypeError as error:
            raise BundleError(f"{what} is no {name}: {error}") from None
        return record

    def _field(self, name: str, field: str, value: Any, what: str) -> Any:
        hint = _HINTS[name].get(field)
        if hint is None:
            raise BundleError(f"{what} has a field {field!r}, which no {name} has")
        if hint in _ONE:
            return self._value(value, what) if hint == bytes | None else self._event(value, what)
        if hint in _EACH:
            read = self._value if hint == tuple[bytes, ...] else self._event
            return tuple(read(each, what) for each in value)
        return _converted(value, hint, what)

    def _event(self, number: Any, what: str) -> Event:
        if not isinstance(number, int) or not 0 <= number < len(self._events):
            raise BundleError(f"{what} names an event that the bundle does not have")
        return self._events[number]

    def _value(self, value: Any, what: str) -> bytes:
        match value:
            case {"$": ["blob", str(name)]}:
                if name not in self._blobs:
                    raise BundleError(f"{what} names a blob that the bundle does not have")
                return msgspec.json.encode(self._blobs[name])
            case _:
                return msgspec.json.encode(value)


def _converted(value: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BundleError(f"{what} is not what it is to be: {error}") from None


def digest(bundle: Mapping[str, Any]) -> str:
    """Of everything in a bundle but its digest."""
    content = {name: part for name, part in bundle.items() if name != "digest"}
    return "sha256:" + hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
