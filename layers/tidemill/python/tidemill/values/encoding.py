"""Encodes a Python value as JSON for the journal, so that decoding gives an equal value.

Most values are plain JSON and are written as they are. Values that JSON cannot express are written as a tag, an
object whose only key is "$":

    {"$": ["decimal", "1.50"]}                           a type that JSON lacks
    {"$": ["dataclass", "shop.models:Order", {...}]}     a class by its import path, and its fields
    {"$": ["dict", {...}]}                               an object of the user's that has a key "$"

so the common value costs one check and one pass of msgspec, in both directions. Restoring a dataclass or a
model sets its fields and runs no validator and no `__init__`: what was remembered is what comes back.
A tuple comes back as a list; only inside a dataclass or a model, whose fields say what they
hold, do tuples and sets come back as themselves.

`decode` imports the classes that a value names: give it only output of `encode`, never untrusted bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec

from tidemill.errors import remade
from tidemill.limits import JSON_DEPTH
from tidemill.values.identical import identical
from tidemill.values.restore import NAMED, TAG, field_names, find_class, restored
from tidemill.values.show import shown

if TYPE_CHECKING:
    from pydantic import BaseModel

_DEPTH = JSON_DEPTH + 28  # leaves room for wrapped events, and stops at a list that holds itself
_WORD = 2**63  # integers beyond 64 bits are tagged: other readers of the journal would round them


class NotSerializable(TypeError):
    """A value that cannot be remembered. `place` is its path: `result.items[3].owner`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return remade, (type(self), self.args), self.__dict__


class _Refused(Exception):
    """Why a value cannot be remembered, before its place is known."""


def encode(value: object, where: str) -> bytes:
    """The journal's bytes for `value`; `where` names it in errors (`result`). Raises NotSerializable."""
    try:
        if _is_json((value,), _DEPTH):
            return msgspec.json.encode(value)
    except UnicodeEncodeError:
        pass  # text that is not valid UTF-8: the walk below finds its place
    return msgspec.json.encode(_tagged(value, where, _DEPTH, inside=False))


def decode(data: bytes) -> Any:
    """The value that `encode` was given. Raises ValueError if a class it names is no longer there."""
    value = msgspec.json.decode(data)
    return restored(value) if b'"$"' in data else value


def plain(data: bytes) -> Any:
    """The value in the API's form: ISO times, decimals as text, bytes as base64, models as their dict."""
    value = msgspec.json.decode(data)
    return shown(value) if b'"$"' in data else value


def _is_json(items: Iterable[Any], depth: int) -> bool:
    """Whether JSON carries the items as they are: exact types, no key "$", nothing nested too deep.

    Leaves are checked inline, without a call for each, because every remembered value passes here.
    """
    for item in items:
        kind = cast("object", type(item))
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if -_WORD <= item < _WORD:
                continue
            return False
        if kind is float:
            if math.isfinite(item):
                continue
            return False
        if kind is dict:
            if TAG in item:
                return False
            for key in item:
                if type(key) is not str:
                    return False
            item = item.values()
        elif kind is not list:
            return False
        if not depth or not _is_json(item, depth - 1):
            return False
    return True


# --- writing -------------------------------------------------------------------------------------------


def _tagged(value: Any, place: str, depth: int, *, inside: bool) -> Any:
    """The value, with tags for what JSON lacks. `inside` a class instance, tuples and sets keep their type."""
    if value is None or isinstance(value, bool):
        return value
    if not depth:
        raise NotSerializable(place, f"this is nested more than {_DEPTH} levels deep, or contains itself")
    if isinstance(value, Enum):
        return _tagged_enum(value, place, depth)
    if isinstance(value, str):
        return _checked_text(str(value), place)
    if isinstance(value, int):
        whole = int(value)
        return whole if -_WORD <= whole < _WORD else _tag("int", hex(whole))
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else _tag("float", repr(number))
    if isinstance(value, dict):
        return _tagged_dict(cast("dict[object, object]", value), place, depth, inside=inside)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _tagged_items(cast("Iterable[object]", value), place, depth, inside=inside)
    try:
        for kind, name, write in _SCALARS:
            if isinstance(value, kind):
                return _tag(name, *write(value))
        if (written := _written_by_name(value)) is not None:
            return written
    except _Refused as refused:
        raise NotSerializable(place, str(refused)) from None
    return _tagged_object(value, place, depth)


def _tag(name: str, *content: object) -> dict[str, Any]:
    return {TAG: [name, *content]}


def _checked_text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotSerializable(
            place, "this text holds half of a surrogate pair, which is no character; clean it or return bytes"
        ) from None
    return text


def _tagged_dict(value: dict[object, object], place: str, depth: int, *, inside: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(key, str) or isinstance(key, Enum):
            raise NotSerializable(
                place, f"the key {key!r} is of type {type(key).__name__}; keys of a remembered dict are texts"
            )
        name = _checked_text(str(key), place)
        result[name] = _tagged(item, _member(place, name), depth - 1, inside=inside)
    return _tag("dict", result) if TAG in result else result


def _member(place: str, name: str) -> str:
    return f"{place}.{name}" if name.isidentifier() else f"{place}[{name!r}]"


def _tagged_items(value: Iterable[object], place: str, depth: int, *, inside: bool) -> Any:
    if isinstance(value, (set, frozenset)) and not inside:
        raise NotSerializable(place, "a set cannot be remembered; return a list, sorted({...}) for example")
    items: list[Any] = []
    for index, item in enumerate(value):
        items.append(_tagged(item, f"{place}[{index}]", depth - 1, inside=inside))
    if not inside or isinstance(value, list):
        return items
    return _tag(next(kind.__name__ for kind in (tuple, set, frozenset) if isinstance(value, kind)), items)


def _write_clock(value: datetime | time) -> list[Any]:
    """ISO text; then, where they are needed, the key of its zone and its fold."""
    from zoneinfo import ZoneInfo  # few values need it

    text = datetime.isoformat(value) if isinstance(value, datetime) else time.isoformat(value)
    zone = value.tzinfo
    key = zone.key if isinstance(zone, ZoneInfo) else None
    if zone is not None and key is None and zone.utcoffset(None) is None:
        raise _Refused(f"its time zone is a {type(zone).__name__}; use zoneinfo.ZoneInfo, or a fixed offset")
    return [text, key, value.fold] if value.fold else [text, key] if key else [text]


_SCALARS: tuple[tuple[type, str, Callable[[Any], list[Any]]], ...] = (
    (datetime, "datetime", _write_clock),  # before date: a datetime is one
    (date, "date", lambda value: [date.isoformat(value)]),
    (time, "time", _write_clock),
    (timedelta, "timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    (Decimal, "decimal", lambda value: [str(value)]),
    (UUID, "uuid", lambda value: [str(value)]),
    (bytes, "bytes", lambda value: [base64.b64encode(value).decode()]),
)


def _written_by_name(value: object) -> dict[str, Any] | None:
    """Paths, addresses and URLs: the name of their class and their text. Their module must be loaded already."""
    for module, base, tag in _NAMED:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(value, getattr(loaded, base)):
            name, text = type(value).__name__, str(value)
            if not _comes_back(tag, name, text, value):
                raise _Refused(f"a {name} does not come back from its text; return str(...) of it")
            return _tag(tag, name, text)
    return None


def _comes_back(tag: str, name: str, text: str, value: object) -> bool:
    try:
        return identical(NAMED[tag](name, text), value)
    except ValueError:  # a class that the user has derived
        return False


_NAMED = (
    ("pathlib", "PurePath", "path"),
    ("ipaddress", "_IPAddressBase", "ip"),
    ("pydantic.networks", "_BaseUrl", "url"),
    ("pydantic.networks", "_BaseMultiHostUrl", "url"),
)


def _tagged_enum(value: Enum, place: str, depth: int) -> dict[str, Any]:
    content = _tagged(value.value, f"{place}.value", depth - 1, inside=True)
    return _tag("enum", _path_of(type(value), place), value.name, content)


def _tagged_object(value: object, place: str, depth: int) -> dict[str, Any]:
    kind = type(value)
    if dataclasses.is_dataclass(kind) or isinstance(value, msgspec.Struct):
        names = field_names(kind)
        content = {name: getattr(value, name) for name in names if hasattr(value, name)}
        fields = _tagged_fields(content, place, depth)
        tagged = _tag("dataclass", _path_of(kind, place), fields)
        if not dataclasses.is_dataclass(kind) and hasattr(kind, "__post_init__"):
            _try_struct(tagged, value, place)
        return tagged
    if _is_model(kind):
        return _tagged_model(cast("BaseModel", value), place, depth)
    raise NotSerializable(
        place,
        f"a value of type {kind.__name__} cannot be remembered; return JSON values, Pydantic models, "
        "dataclasses, datetimes, Decimals, UUIDs or bytes",
    )


def _try_struct(tagged: dict[str, Any], value: object, place: str) -> None:
    """Refuses a Struct whose `__post_init__` does not accept its own fields: no Struct can be made without it."""
    try:
        restored(tagged)
    except Exception as error:
        problem = f"the __post_init__ of {type(value).__name__} refuses its own fields: {error}"
        raise NotSerializable(place, problem) from None


def _tagged_fields(fields: Mapping[str, Any], place: str, depth: int) -> dict[str, Any]:
    return {name: _tagged(item, _member(place, name), depth - 1, inside=True) for name, item in fields.items()}


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic.main")  # without the import there can be no models
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _tagged_model(model: BaseModel, place: str, depth: int) -> dict[str, Any]:
    path = _path_of(type(model), place)
    extra = model.__pydantic_extra__
    private = model.__pydantic_private__
    try:
        fields = _tagged_fields(model.__dict__, place, depth)
        rest = {
            "set": sorted(model.model_fields_set),
            "extra": None if extra is None else _tagged_fields(extra, place, depth),
            "private": None if private is None else _tagged_fields(private, place, depth),
        }
    except NotSerializable:
        # A field of a type that only Pydantic knows (a URL, a path): its own JSON, if that comes back equal.
        dumped = _dumped(model)
        if dumped is None:
            raise
        return _tag("json", path, dumped)
    return _tag("model", path, fields, rest)


def _dumped(model: BaseModel) -> Any:
    try:
        text = model.model_dump_json(round_trip=True, by_alias=True)
        same = identical(type(model).model_validate_json(text), model)
    except (ValueError, TypeError):  # a serializer or validator of the user's class failed
        return None
    return _tagged(msgspec.json.decode(text), "", _DEPTH, inside=False) if same else None


def _path_of(kind: type, place: str) -> str:
    path = _import_path(kind)
    if path is None:
        name = kind.__qualname__
        advice = f"name it there: class MyModel({name}): ..." if "[" in name else "define it there"
        problem = f"the class {name} cannot be found again at the top level of a module; {advice}"
        raise NotSerializable(place, problem)
    return path


@lru_cache(maxsize=1024)
def _import_path(kind: type) -> str | None:
    path = f"{kind.__module__}:{kind.__qualname__}"
    try:
        return path if find_class(path) is kind else None
    except ValueError:
        return None
