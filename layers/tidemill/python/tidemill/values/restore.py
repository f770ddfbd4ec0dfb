"""Decodes remembered values: reads the tags that `values.encode` wrote."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from pydantic import BaseModel

TAG = "$"

_Clock = TypeVar("_Clock", datetime, time)


def find_class(path: str) -> type:
    module, _, name = path.partition(":")
    try:
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    if not isinstance(found, type):
        raise ValueError(
            f"a remembered value is a {path.replace(':', '.')}, which is no longer there; "
            "put the class back, or leave an alias under its old name"
        )
    return found


def restored(value: object) -> Any:
    if isinstance(value, list):
        return _restored_items(cast("list[object]", value))
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if TAG not in fields:
        return _restored_fields(fields)
    name, *content = fields[TAG]
    return _READERS[name](*content)


def _restored_items(items: list[object]) -> list[Any]:
    return [restored(item) for item in items]


def _restored_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: restored(item) for key, item in fields.items()}


def _read_collection(kind: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    def read(items: list[Any]) -> Any:
        return kind(_restored_items(items))

    return read


def _read_int(text: str) -> int:
    return int(text, 16)


def _read_datetime(text: str, zone: str | None = None, fold: int = 0) -> datetime:
    return _in_zone(datetime.fromisoformat(text), zone, fold)


def _read_time(text: str, zone: str | None = None, fold: int = 0) -> time:
    return _in_zone(time.fromisoformat(text), zone, fold)


def _in_zone(clock: _Clock, zone: str | None, fold: int) -> _Clock:
    if zone is not None:
        from zoneinfo import ZoneInfo

        clock = clock.replace(tzinfo=ZoneInfo(zone))
    return clock.replace(fold=fold) if fold else clock


def _reader_by_name(module: str) -> Callable[[str, str], Any]:
    """Reads classes that are found by name in one module, and made from their text."""

    def read(name: str, text: str) -> Any:
        make: Any = find_class(f"{module}:{name}")
        return make(text)

    return read


def _read_enum(path: str, name: str | None, content: Any) -> Any:
    kind = find_class(path)
    try:
        return cast("Any", kind)[name]
    except KeyError:  # a combination of flags has no name
        return kind(restored(content))


def _read_dataclass(path: str, content: dict[str, Any]) -> Any:
    kind: Any = find_class(path)
    content = {name: item for name, item in content.items() if name in field_names(kind)}
    fields = _restored_fields(content)
    if issubclass(kind, msgspec.Struct):
        return _read_struct(kind, fields)
    instance: object = kind.__new__(kind)
    for field in dataclasses.fields(kind):
        if field.name not in fields:  # the field is newer than the value
            if field.default is not dataclasses.MISSING:
                fields[field.name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                fields[field.name] = field.default_factory()
    for name, value in fields.items():
        object.__setattr__(instance, name, value)  # a frozen class has a __setattr__ that refuses
    return instance


def _read_struct(kind: Any, fields: dict[str, Any]) -> Any:
    """A Struct cannot be made without its `__post_init__`; the fields that it changes are set back."""
    instance = kind(**fields)
    if hasattr(kind, "__post_init__"):
        for name, value in fields.items():
            msgspec.structs.force_setattr(instance, name, value)
    return instance


def _read_model(path: str, content: dict[str, Any], rest: dict[str, Any]) -> Any:
    kind: Any = find_class(path)  # a model, by its tag
    fields = _restored_fields(content)
    for name, field in kind.model_fields.items():
        if name not in fields and not field.is_required():
            fields[name] = field.get_default(call_default_factory=True, validated_data=fields)
    model = kind.__new__(kind)
    model.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_fields_set__": set(rest["set"]),
            "__pydantic_extra__": None if rest["extra"] is None else _restored_fields(rest["extra"]),
            "__pydantic_private__": None if rest["private"] is None else _restored_fields(rest["private"]),
        }
    )
    return model


def _read_json(path: str, content: Any) -> Any:
    text = msgspec.json.encode(restored(content))
    return cast("type[BaseModel]", find_class(path)).model_validate_json(text)


def field_names(kind: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(kind.__struct_fields__)


def _read_sent(_plain: Any, value: Any) -> Any:
    return restored(value)


NAMED = {
    "path": _reader_by_name("pathlib"),
    "ip": _reader_by_name("ipaddress"),
    "url": _reader_by_name("pydantic.networks"),
}

_READERS: dict[str, Callable[..., Any]] = {
    "dict": _restored_fields,
    "tuple": _read_collection(tuple),
    "set": _read_collection(set),
    "frozenset": _read_collection(frozenset),
    "int": _read_int,
    "float": float,
    "datetime": _read_datetime,
    "date": date.fromisoformat,
    "time": _read_time,
    "timedelta": timedelta,
    "decimal": Decimal,
    "uuid": UUID,
    "bytes": base64.b64decode,
    "enum": _read_enum,
    "dataclass": _read_dataclass,
    "model": _read_model,
    "json": _read_json,
    "sent": _read_sent,
    **NAMED,
}
