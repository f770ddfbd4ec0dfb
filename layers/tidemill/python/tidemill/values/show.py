"""Turns remembered values into plain JSON for the API, without importing their classes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import msgspec

from tidemill.json_numbers import fits
from tidemill.values.restore import TAG


def shown(value: object) -> Any:
    if isinstance(value, list):
        return _show_items(cast("list[object]", value))
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if TAG not in fields:
        return _show_fields(fields)
    name, *content = fields[TAG]
    return _SHOWN[name](*content)


def _show_items(items: list[object]) -> list[Any]:
    return [shown(item) for item in items]


def _show_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: shown(item) for key, item in fields.items()}


def _show_first(content: Any, *_: Any) -> Any:
    return shown(content)


def _show_int(text: str) -> int | str:
    """A number where it fits 64 bits, else text: an announced end is an event, and other readers would round it."""
    whole = int(text, 16)
    if fits(whole):
        return whole
    return str(whole) if len(text) < 1_000 else text  # Python writes no decimals beyond 4,300 digits


def _show_second(_path: str, content: Any, *_: Any) -> Any:
    return shown(content)


def _show_float(text: str) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]


def _show_timedelta(days: int, seconds: int, microseconds: int) -> Any:
    return msgspec.to_builtins(timedelta(days, seconds, microseconds))


def _show_enum(_path: str, _name: str | None, content: Any) -> Any:
    return shown(content)


def _show_model(_path: str, content: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    return _show_fields(content) | _show_fields(rest["extra"] or {})


def _show_sent(plain: Any, _value: Any) -> Any:
    return plain  # the form that is sent is plain JSON already


_SHOWN: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("date", "datetime", "time", "decimal", "uuid", "bytes"), _show_first),
    **dict.fromkeys(("tuple", "set", "frozenset"), _show_first),
    "dict": _show_fields,
    "int": _show_int,
    "float": _show_float,
    "timedelta": _show_timedelta,
    "enum": _show_enum,
    "dataclass": _show_second,
    "model": _show_model,
    "json": _show_second,
    "sent": _show_sent,
    **dict.fromkeys(("path", "ip", "url"), _show_second),
}
