"""The budget of an evaluation, counted in steps of about one operation, a tenth of a microsecond each.

Steps are counted, not seconds: the same expression over the same data has the same value on every machine and at
every replay.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from tidemill.limits import EXPRESSION_STEPS

CHARS = 64  # characters of a text that one step compares, searches or copies


class TooMuch(Exception):
    """The budget is used up."""

    def __init__(self) -> None:
        super().__init__(f"it takes more than {EXPRESSION_STEPS:,} steps over this data")


class Budget:
    __slots__ = ("left",)

    def __init__(self, steps: int = EXPRESSION_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooMuch

    def spend_on(self, value: object) -> None:
        """Pays for reading everything in this value."""
        self.left -= weight(value, self.left)
        if self.left < 0:
            raise TooMuch


def _inner(value: Any) -> Collection[object]:
    return cast("dict[str, object]", value).values() if isinstance(value, dict) else value


def weight(value: object, most: int = EXPRESSION_STEPS) -> int:
    """How many steps it takes to read all of a value; counting stops beyond `most`."""
    total = 0
    stack = [value]
    while stack:
        item = stack.pop()
        total += 1
        if isinstance(item, (str, bytes)):
            total += len(item) // CHARS
        elif isinstance(item, (list, dict)):
            inner: Collection[object] = _inner(cast("Any", item))
            if total + len(inner) + len(stack) > most:
                return most + 1
            stack += inner
        if total > most:
            return total
    return total
