"""Turns the data of an event, or of `invoke`, into the JSON that is sent: one form for every way to send.

Pydantic models and dataclasses are dumped by their own configuration, in JSON mode and by their aliases, and a msgspec
Struct by its encoded names, so that the same class at the other end accepts the data. Everything else is plain JSON in
the API's form: ISO times, decimals as text, bytes as base64.

The invoked function receives the values themselves. Values that JSON lacks are sent in both forms:

    {"$": ["sent", {"at": "2026-01-01T00:00:00+00:00"}, {"at": {"$": ["datetime", ...]}}]}
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import msgspec

from tidemill import values
from tidemill.json_numbers import fits
from tidemill.limits import JSON_DEPTH
from tidemill.values.restore import TAG


def plain_of(value: object, where: str) -> Any:
    """The JSON that is sent for `value`. Raises NotSerializable, with the place."""
    encoded = values.encode(_dumped(value, where, JSON_DEPTH), where)
    if b'"int"' in encoded:
        _refuse_huge(msgspec.json.decode(encoded), where)
    return values.plain(encoded)


def _refuse_huge(value: Any, where: str) -> None:
    """Refuses a whole number that no event can hold: as text it would not fit the same class at the other end."""
    if isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            _refuse_huge(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if key == TAG:
                _refuse_tagged(*item, where=where)
            else:
                _refuse_huge(item, f"{where}.{key}")


def _refuse_tagged(name: str, *content: Any, where: str) -> None:
    if name == "int" and not fits(int(content[0], 16)):
        raise values.NotSerializable(where, "a whole number in it has more than 64 bits; send it as text")
    if name == "dict":  # the fields of an object that has a key "$"
        content = (list(content[0].values()),)
    for item in content:
        _refuse_huge(item, where)


def encode_passed(value: object, where: str) -> bytes:
    """The journal's bytes for the data of `invoke`: `decode` gives the value, `plain` the JSON that is sent."""
    encoded = values.encode(value, where)
    if b'"$"' not in encoded:
        return encoded
    return msgspec.json.encode({TAG: ["sent", plain_of(value, where), msgspec.Raw(encoded)]})


def _dumped(value: Any, where: str, depth: int) -> Any:
    """The value, with every instance of a class dumped by that class's configuration."""
    if not depth:  # too deep: `encode` reports it
        return value
    serializer = getattr(cast("object", type(value)), "__pydantic_serializer__", None)
    if serializer is not None:
        return _by_pydantic(serializer, value, where)
    if isinstance(value, list | tuple):
        return [_dumped(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(cast("list[Any]", value))]
    fields: Any = value.items() if issubclass(type(value), dict) else _fields(value)
    return value if fields is None else {key: _dumped(item, f"{where}.{key}", depth - 1) for key, item in fields}


def _by_pydantic(serializer: Any, value: object, where: str) -> Any:
    try:
        return msgspec.json.decode(serializer.to_json(value, by_alias=True))
    except ValueError as error:
        kind = type(value).__name__
        raise values.NotSerializable(where, f"{kind} cannot be sent as JSON: {error}") from None


def _fields(value: Any) -> list[tuple[str, Any]] | None:
    """The fields of a dataclass or a Struct, under the names that they are sent by; None for any other value."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = [(config.tag_field, config.tag)] if config.tag_field is not None else []
        fields = msgspec.structs.fields(type(value))
        return tag + [(field.encode_name, getattr(value, field.name)) for field in fields]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None
