"""Expressions: the conditions and keys that functions are declared with, in CEL over `event` and other roots.

An expression never fails during a run. Where a path is missing, or types do not go together,
a condition is false, a value MISSING, a number 0, and `missing` says why. Compiling
reports what is certainly wrong: bad syntax, an unknown function, a name that is not a root.

The common forms run without the CEL engine (`cel.subset`); the first expression that needs the engine
loads it.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from itertools import pairwise
from typing import Any, NoReturn, Protocol, cast

from tidemill.core.cel.budget import TooMuch, weight
from tidemill.core.cel.engine import engine, executed
from tidemill.core.cel.hints import foreign, plainly, rooted
from tidemill.core.cel.subset import MISSING, TYPES, Missing, Variables, compile_subset
from tidemill.core.cel.terms import MACROS, Unbounded, compile_terms, has_loops
from tidemill.core.cel.tokens import Token, tokens
from tidemill.limits import EXPRESSION_CHARS, EXPRESSION_STEPS

__all__ = ["MISSING", "Expression", "ExpressionError", "Missing", "Variables", "compile"]

_EVENT = frozenset({"event"})
_FUNCTIONS = frozenset(
    {
        *("bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"),
        *("contains", "endsWith", "matches", "size", "startsWith"),
        *("getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getMonth"),
        *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
    }
)
_PLACE = r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)"
_SIZE = "size_in_characters"
_LOOKS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "+"})


class ExpressionError(ValueError):
    """An expression that cannot be compiled: one sentence with the expression and the place."""


class Expression:
    """A compiled expression. `variables` hold a value for each root; a root without one is missing."""

    __slots__ = ("_engine", "text")

    def __init__(self, text: str, engine: _Engine) -> None:
        self.text = text
        self._engine = engine

    def value(self, variables: Variables) -> Any:
        """The value, or MISSING."""
        return self._engine.value(variables)

    def holds(self, variables: Variables) -> bool:
        """Whether the condition is true; false if it has no answer."""
        return self._engine.value(variables) is True

    def number(self, variables: Variables) -> float:
        """The value as a number; 0 if it is missing or not a number."""
        value = self._engine.value(variables)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return 0.0
        try:
            number = float(value)
        except OverflowError:
            return 0.0
        return number if math.isfinite(number) else 0.0

    def missing(self, variables: Variables) -> str | None:
        """Why the value is MISSING, as a note for the run; None if it is not."""
        if self._engine.value(variables) is not MISSING:
            return None
        return f"'{self.text}' has no value: {self._engine.note(variables)}"


class _Engine(Protocol):
    def value(self, variables: Variables) -> Any: ...
    def note(self, variables: Variables) -> str: ...


@lru_cache(maxsize=4096)
def compile(text: str, roots: frozenset[str] = _EVENT, default_root: str | None = None) -> Expression:  # noqa: A001
    """Compile an expression. A name that is not in `roots` is looked up under `default_root`, if given.

    Raises ExpressionError.
    """
    if len(text) > EXPRESSION_CHARS:
        raise ExpressionError(
            f"an expression may have {EXPRESSION_CHARS:,} characters; this one has {len(text):,}: '{text[:40]}…'"
        )
    try:
        ours = compile_subset(text, roots, default_root) or compile_terms(text, roots, default_root)
    except Unbounded as problem:
        raise ExpressionError(f"the expression '{text}' cannot be evaluated within bounds: {problem}") from None
    if ours is not None:
        return Expression(text, ours)
    rest = _Cel(text, roots, default_root)
    if has_loops(text):
        raise ExpressionError(
            f"the expression '{text}' cannot be evaluated within bounds: beside all(), exists(), exists_one(), "
            "filter(), map() and matches() use paths, literals, arithmetic and CEL's functions"
        )
    return Expression(text, rest)


class _Cel:
    """An expression that runs in the CEL engine."""

    def __init__(self, text: str, roots: frozenset[str], default_root: str | None) -> None:
        program = _compiled(text)
        references = program.references()
        for name in references["functions"]:
            if name.isidentifier() and name not in _FUNCTIONS:
                _refuse(text, name, "is no function of CEL")
        free = set(references["variables"]) - TYPES - (_bound_by_macros(text) - roots)
        self._members = tuple(free - roots)  # looked up under the default root
        self._paths = _paths_read(text, free)
        self._default_root = default_root
        if self._members and default_root is None:
            _unknown(text, self._members[0], self._paths, roots)
        self._program = _compiled(_with_our_size(text)) if "size" in references["functions"] else program
        self._own_size = self._program is not program
        self._operations = _operations(text)

    def value(self, variables: Variables) -> Any:
        result = self._executed(variables)
        return MISSING if isinstance(result, BaseException) else result

    def note(self, variables: Variables) -> str:
        error = self._executed(variables)
        if isinstance(error, KeyError):
            return f"{error} is missing"
        return str(error).partition(". ")[0]

    def _executed(self, variables: Variables) -> Any:
        """The value, or the error that the engine raised."""
        given: dict[str, Any] = {}
        members = variables.get(self._default_root or "")
        if self._members and isinstance(members, dict):
            variables = {**cast("dict[str, Any]", members), **variables}
        for path in self._paths:
            _copy(path, variables, given)
        if weight(given) * self._operations > EXPRESSION_STEPS:
            return TooMuch()
        return executed(self._program, engine().Context(given, {_SIZE: _size}) if self._own_size else given)


def _compiled(text: str) -> Any:
    try:
        return engine().compile(text)
    except ValueError as error:
        place = re.search(_PLACE, str(error))
        if place is None:
            raise ExpressionError(f"the expression '{text}' is not CEL: {error}") from None
        if (word := foreign(text)) is not None:
            where, problem = _place(text, word.start), f"use '{word.instead}' for '{word.text}'"
        else:
            line, column, problem = place.groups()
            where = _at(int(line), int(column))
        raise ExpressionError(f"the expression '{text}' is not CEL: {where}: {plainly(problem)}") from None


def _place(text: str, start: int) -> str:
    before = text[:start]
    return _at(before.count("\n") + 1, start - before.rfind("\n"))


def _at(line: int, column: int) -> str:
    return f"column {column}" if line == 1 else f"line {line}, column {column}"


def _unknown(text: str, name: str, paths: list[tuple[str, ...]], roots: frozenset[str]) -> NoReturn:
    word = foreign(text)
    path = next((path for path in paths if path[0] == name), (name,))
    if word is not None and word.text == name:
        _refuse(text, name, f"is not known here: use '{word.instead}'")
    hint = f"begin with {' or '.join(sorted(roots))}, as in {rooted('.'.join(path), roots)}"
    _refuse(text, name, f"is not known here: {hint}")


def _refuse(text: str, name: str, problem: str) -> NoReturn:
    column = next((token.start + 1 for token in tokens(text) if token.text == name), 1)
    raise ExpressionError(f"in the expression '{text}', column {column}: '{name}' {problem}")


def _operations(text: str) -> int:
    """How often the engine may read its whole input: at each operation; a sum of texts grows with each."""
    found = tokens(text)
    sums = sum(token.text == "+" for token in found)
    return 1 + sum(token.text in _LOOKS or after.text == "(" for token, after in pairwise(found)) + sums * sums


def _bound_by_macros(text: str) -> set[str]:
    """The names that macros bind: x in `event.data.items.exists(x, x > 2)`."""
    found = tokens(text)
    return {
        found[at + 2].text
        for at in range(1, len(found) - 2)
        if found[at].text in MACROS and found[at - 1].text == "." and found[at + 1].text == "("
    }


def _paths_read(text: str, heads: set[str]) -> list[tuple[str, ...]]:
    """The paths that the expression reads, none inside another: the engine copies its input."""
    found = [*tokens(text), *[Token("end", "", 0)] * 2]
    paths: set[tuple[str, ...]] = set()
    for at, token in enumerate(found):
        if token.text not in heads or (at and found[at - 1].text == "."):
            continue
        path = [token.text]
        while found[at + 1].text == "." and found[at + 2].kind == "name" and found[at + 3].text != "(":
            at += 2
            path.append(found[at].text)
        paths.add(tuple(path))
    return [path for path in paths if not any(path[:length] in paths for length in range(1, len(path)))]


def _copy(path: tuple[str, ...], source: Variables, target: dict[str, Any]) -> None:
    """Put the value at the path, if any, into the same place of `target`."""
    *parents, last = path
    for part in parents:
        inner = source.get(part, MISSING)
        if not isinstance(inner, dict):
            last = part
            break
        source = cast("dict[str, Any]", inner)
        target = target.setdefault(part, {})
    if last in source:
        target[last] = source[last]


def _with_our_size(text: str) -> str:
    """The engine's size() of a text counts bytes; CEL's counts characters. This function replaces it."""
    found = tokens(text)
    result, end = "", 0
    for token, after in pairwise(found):
        if token.text == "size" and after.text == "(":
            result += text[end : token.start] + _SIZE
            end = token.end
    return result + text[end:]


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes, list, dict)):
        return len(cast("str", value))
    raise TypeError("size() takes a text, a list or a map")
