"""Versions of a schema, in their natural order: runs of digits count as numbers, so that v10 follows v9."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARTS = re.compile(r"(\d+)")

Order = tuple[tuple[int, int, str], ...]


def order(version: str) -> Order:
    """A sort key. Digits sort before text, and equal numbers by how they are written."""
    parts = [part for part in _PARTS.split(version) if part]
    return (*((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts),)


def newest(versions: Iterable[str]) -> str:
    return max(versions, key=order)
