"""Computes the size of an item as DynamoDB bills and limits it.

By the developer guide's "DynamoDB item sizes and formats": names count as UTF-8; text as UTF-8, bytes as they are
(not their base64); a number a byte for every two digits and one more; true, false and null a byte; a set the sum of
its members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def item_size(item: Mapping[str, Any]) -> int:
    """The bytes of an item of plain values, as `Table` takes them."""
    return sum(_text(name) + value_size(value) for name, value in item.items())


def value_size(value: Any) -> int:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return len(value)
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, (int, float)):
        digits = len(str(value).lstrip("-").replace(".", "").strip("0")) or 1
        return (digits + 1) // 2 + 1 + (value < 0)
    return sum(value_size(one) for one in value)


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
