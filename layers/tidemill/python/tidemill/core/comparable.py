"""Decides which numbers EventBridge compares as CEL does.

EventBridge takes numbers from -5e9 to 5e9 with six decimals. Beyond that it sees no number, and no `numeric` of a
pattern matches. So an event that holds such a number is marked (`"inexact": true` beside its data), and every rule that
compares numbers takes all marked events: the function's own Lambda then decides its condition.
"""

from __future__ import annotations

from typing import cast

_MOST = 5_000_000_000
_MOST_WITH_DECIMALS = 1_000_000_000  # 15 digits in all
_DECIMALS = 5  # one less than it takes: different numbers differ by more than the rounding


def is_comparable(number: int | float) -> bool:
    if isinstance(number, float):
        return abs(number) < _MOST_WITH_DECIMALS and round(number, _DECIMALS) == number
    return -_MOST <= number <= _MOST


def is_exact(value: object) -> bool:
    """Whether all numbers in a JSON value are comparable."""
    kind = type(value)
    if kind is float or kind is int:
        return is_comparable(cast("float", value))
    if kind is dict:
        return all(map(is_exact, cast("dict[str, object]", value).values()))
    if kind is list:
        return all(map(is_exact, cast("list[object]", value)))
    return True
