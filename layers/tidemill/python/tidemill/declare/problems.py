"""The checks of one declared value: each notes its problem and returns a value to continue with,
so that one error can name every problem of a function at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tidemill import duration
from tidemill.limits import DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

_EVENT = frozenset({"event"})
_LONGEST = 36_525 * DAY  # a hundred years, which every store can hold


class Problems:
    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str, problem: str) -> None:
        self.found.append(f"{where}: {problem}")

    def note(self, where: str, problem: str | None) -> None:
        if problem is not None:
            self.add(where, problem)

    def whole(self, where: str, value: Any, least: int, most: int | None = None) -> int:
        if type(value) is int and least <= value and (most is None or value <= most):
            return value
        span = f"from {least}" if most is None else f"from {least} to {most}"
        self.add(where, f"must be a whole number {span}, not {value!r}")
        return least

    def number(self, where: str, value: Any, least: float) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < math.inf:
            return float(value)
        self.add(where, f"must be a number from {least:g}, not {value!r}")
        return least

    def duration(self, where: str, value: Any, least: int = 1, most: int | None = None) -> int:
        """Milliseconds."""
        try:
            ms = duration.parse(value)
        except ValueError as error:
            self.add(where, str(error))
            return least
        if ms < least:
            self.add(where, f"must be longer than 0, not {value!r}")
        elif ms > (_LONGEST if most is None else most):
            self.add(where, f"must be at most {duration.text(_LONGEST if most is None else most)}, not {value!r}")
        return ms

    def expression(self, where: str, value: Any, roots: frozenset[str] = _EVENT) -> str:
        """CEL over `event`, or over the `roots`."""
        if not isinstance(value, str):
            example = "event.data.user_id" if "event" in roots else f"{min(roots)}.type"
            self.add(where, f"must be CEL as text, such as {example!r}, not {type(value).__name__}")
            return ""
        from tidemill.core.expression import compile  # noqa: A004 - and where no CEL is, it need not be loaded

        try:
            compile(value, roots)
        except ValueError as error:
            self.add(where, str(error))
        return value

    def choice(self, where: str, value: Any, allowed: Sequence[str]) -> Any:
        if value in allowed:
            return value
        self.add(where, f"must be {' or '.join(map(repr, allowed))}, not {value!r}")
        return allowed[0]
