"""The single operations of an expression on values: arithmetic, tests of texts, conversions.

The frequent operations are Python's; the CEL engine performs the others, each as a separate program, so that they
mean what CEL means. An error of CEL becomes MISSING. Each operation is paid from the budget before it is performed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

from tidemill.core.cel.budget import CHARS, Budget
from tidemill.core.cel.engine import executed, program
from tidemill.core.cel.subset import MISSING, is_number

Leaf = Callable[[Budget, list[Any]], Any]

_WORD = 2**63
_NAMES = ("a0", "a1")
_PATTERN_CHARS = 1_000
_PATTERN_BASE = 300  # steps to compile the shortest pattern
_PATTERN_MOST = 10_000  # positions in a pattern: each may be tried at each character of the text
_PLACES = 10  # positions of a pattern that are tried in one step
_REPEAT = re.compile(r"\{(\d{1,6})(?:,(\d{0,6}))?\}")
_ATOM = re.compile(r"\\p\{\w*\}|\\[\s\S]|\[\^?\]?(?:\\[\s\S]|[^\]\\])*\]|[\s\S]", re.IGNORECASE)
_WIDE = r"\\[pPwWdDsSbB]"


def by_engine(text: str) -> Leaf:
    """An operation of the engine: `text` is CEL over a0, a1, …"""

    def leaf(budget: Budget, arguments: list[Any]) -> Any:
        budget.spend(10)
        for argument in arguments:
            if isinstance(argument, (list, dict)):
                budget.spend_on(cast("object", argument))
            elif isinstance(argument, (str, bytes)):
                budget.spend(len(argument) // CHARS)
        value = executed(program(text), dict(zip(_NAMES, arguments, strict=False)))
        return MISSING if isinstance(value, BaseException) else value

    return leaf


# --- arithmetic ----------------------------------------------------------------------------------------


def arithmetic(sign: str) -> Leaf:
    beyond = by_engine(f"a0 {sign} a1")
    whole, real = _WHOLE[sign], _REAL.get(sign)

    def leaf(budget: Budget, arguments: list[Any]) -> Any:
        one, other = arguments
        kind: Any = cast("object", type(one))
        if kind is type(other):
            if kind is int:
                return _in_word(whole(one, other)) if other or sign not in "/%" else MISSING
            if kind is float and real is not None:
                return real(one, other)
            if sign == "+" and kind in (str, list):
                budget.spend((len(one) + len(other)) // (CHARS if kind is str else 1))
                return one + other
        return beyond(budget, arguments)

    return leaf


def _in_word(value: int) -> Any:
    return value if -_WORD <= value < _WORD else MISSING


def _quotient(one: int, other: int) -> int:
    """Towards zero, as CEL divides."""
    return abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)


_WHOLE: dict[str, Callable[[int, int], int]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": _quotient,
    "%": lambda one, other: one - other * _quotient(one, other),
}
_REAL: dict[str, Callable[[float, float], float]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
}


def negative(budget: Budget, arguments: list[Any]) -> Any:
    (value,) = arguments
    if is_number(value):
        return -value if isinstance(value, float) else _in_word(-value)
    return by_engine("-a0")(budget, arguments)


# --- functions -----------------------------------------------------------------------------------------


def size(_budget: Budget, arguments: list[Any]) -> Any:
    """The number of a text's characters; the engine would count bytes."""
    (value,) = arguments
    return len(cast("str", value)) if isinstance(value, (str, bytes, list, dict)) else MISSING


def dyn(_budget: Budget, arguments: list[Any]) -> Any:
    return arguments[0]


def text_test(name: str, test: Callable[[str, str], bool]) -> Leaf:
    beyond = by_engine(f"a0.{name}(a1)")

    def leaf(budget: Budget, arguments: list[Any]) -> Any:
        one, other = arguments
        if isinstance(one, str) and isinstance(other, str):
            budget.spend((len(one) + len(other)) // CHARS)
            return test(one, other)
        return beyond(budget, arguments)

    return leaf


def matches(budget: Budget, arguments: list[Any]) -> Any:
    """The engine's patterns take linear time, but the factor is the pattern's size with its repetitions written out."""
    text, pattern = arguments
    if not (isinstance(text, str) and isinstance(pattern, str)) or pattern_problem(pattern) is not None:
        return MISSING
    places = pattern_places(pattern)
    budget.spend(_PATTERN_BASE + places + places * len(text) // _PLACES)
    return _MATCHES(budget, arguments)


_MATCHES = by_engine("a0.matches(a1)")


def pattern_problem(pattern: str) -> str | None:
    """Why this pattern is refused; None if it is not."""
    if len(pattern) > _PATTERN_CHARS:
        return f"the pattern has {len(pattern):,} characters, more than {_PATTERN_CHARS:,}"
    if pattern_places(pattern) > _PATTERN_MOST:
        return f"the pattern's repetitions, written out, are more than {_PATTERN_MOST:,} characters"
    return None


def pattern_places(pattern: str) -> int:
    """The length of the pattern with its counted repetitions written out, nested ones too."""
    groups = [_Group()]
    at = 0
    while at < len(pattern):
        repeat = _REPEAT.match(pattern, at)
        if repeat is not None:
            groups[-1].last *= max(1, int(repeat[2] or repeat[1]))
            at = repeat.end()
            continue
        atom = _ATOM.match(pattern, at)
        assert atom is not None  # any character is one
        at = atom.end()
        if atom[0] == "(":
            groups.append(_Group())
        elif atom[0] == ")" and len(groups) > 1:
            inner = groups.pop()
            groups[-1].add(inner.total + inner.last + 2)
        else:
            groups[-1].add(_atom_places(atom[0]))
    return sum(group.total + group.last for group in groups)


class _Group:
    """The positions of a group so far, and those of its last part, which a count repeats."""

    def __init__(self) -> None:
        self.total = self.last = 0

    def add(self, places: int) -> None:
        self.total += self.last
        self.last = places


def _atom_places(atom: str) -> int:
    """The positions of one atom; a class of Unicode is hundreds of ranges of bytes."""
    if re.search(_WIDE, atom):
        return 100
    return 4 if atom[0] in ".[" else 1


FUNCTIONS: dict[tuple[str, int], Leaf] = {("size", 1): size, ("dyn", 1): dyn} | {
    (name, 1): by_engine(f"{name}(a0)")
    for name in ("bytes", "double", "duration", "int", "string", "timestamp", "type", "uint")
}
METHODS: dict[tuple[str, int], Leaf] = {
    ("size", 0): size,
    ("contains", 1): text_test("contains", lambda text, part: part in text),
    ("startsWith", 1): text_test("startsWith", str.startswith),
    ("endsWith", 1): text_test("endsWith", str.endswith),
    ("matches", 1): matches,
}
for _part in (
    *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
):
    METHODS[_part, 0] = by_engine(f"a0.{_part}()")
    METHODS[_part, 1] = by_engine(f"a0.{_part}(a1)")
