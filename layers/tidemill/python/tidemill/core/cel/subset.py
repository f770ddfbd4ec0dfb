"""Runs the common expressions without the CEL engine.

Most conditions are comparisons of paths and literals under `&&`, `||`, `!`, `? :`, `in` and `has()`. They are
compiled here to closures: no engine to load at a cold start, no event to copy into it, and integers of any
size compare exactly. Where CEL answers with an error, a closure answers MISSING; the property tests hold
the two together. An expression outside this subset is not an error: `compile_subset` returns None, and CEL runs it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, NamedTuple, TypeGuard, cast

from tidemill.core.cel.budget import Budget, TooMuch
from tidemill.core.cel.tokens import Part, Token, literal_at, path_at, tokens, write_path
from tidemill.limits import EXPRESSION_STEPS


class Missing(Enum):
    """The value of a path that does not exist, and of an expression without an answer."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
Variables = Mapping[str, Any]
Run = Callable[[Variables], Any]
BUDGET = ""  # among the variables, where an expression has loops
_DEEPEST = 40  # nesting of parentheses; CEL refuses deeper ones

# CEL's own names, with which a path cannot begin.
TYPES = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "optional_type", "string", "type", "uint"}
)
_RESERVED = TYPES | {
    *("as", "break", "const", "continue", "else", "for", "function", "if", "import"),
    *("let", "loop", "package", "namespace", "return", "var", "void", "while"),
}


class Subset(NamedTuple):
    """A compiled expression, and the paths it reads."""

    run: Run
    paths: tuple[tuple[Part, ...], ...]

    def value(self, variables: Variables) -> Any:
        try:
            return self.run(variables)
        except TooMuch:
            return MISSING

    def note(self, variables: Variables) -> str:
        """Why `value` gave MISSING."""
        try:
            self.run(variables)
        except TooMuch as error:
            return str(error)
        for path in self.paths:
            if walk(path, variables) is MISSING:
                return f"{write_path(path)} is missing"
        return "its values are of types that do not go together"


def walk(path: tuple[Part, ...], value: object) -> Any:
    """The value at the path, or MISSING."""
    for part in path:
        if isinstance(value, dict):
            if part not in value:
                return MISSING
            value = cast("dict[object, object]", value)[part]
        elif isinstance(value, list) and isinstance(part, int):
            items = cast("list[object]", value)
            if not 0 <= part < len(items):
                return MISSING
            value = items[part]
        else:
            return MISSING
    return value


def compile_subset(text: str, roots: frozenset[str], default_root: str | None) -> Subset | None:
    """The compiled expression, or None if it needs the CEL engine (or is invalid)."""
    parser = Parser(tokens(text), roots, default_root)
    try:
        run = parser.ternary()
        if parser.at != len(parser.tokens):
            return None
    except NotOurs:
        return None
    return Subset(run, tuple(parser.paths))


class NotOurs(Exception):
    pass


class Parser:
    """Recursive descent over CEL's precedences, loosest first."""

    def __init__(self, found: list[Token], roots: frozenset[str], default_root: str | None) -> None:
        self.tokens = found
        self.roots = roots
        self.default_root = default_root
        self.at = 0
        self.depth = 0
        self.paths: list[tuple[Part, ...]] = []
        self.relations = 0  # without loops, all closures share one budget

    def peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def take(self, *texts: str) -> str | None:
        text = self.peek()
        if text not in texts:
            return None
        self.at += 1
        return text

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise NotOurs

    def ternary(self) -> Run:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NotOurs
        run = self.either()
        if self.take("?"):
            then = self.either()
            self.expect(":")
            run = _choice(run, then, self.ternary())
        self.depth -= 1
        return run

    def either(self) -> Run:
        runs = [self.both()]
        while self.take("||"):
            runs.append(self.both())
        return runs[0] if len(runs) == 1 else _connected(runs, decisive=True)

    def both(self) -> Run:
        runs = [self.relation()]
        while self.take("&&"):
            runs.append(self.relation())
        return runs[0] if len(runs) == 1 else _connected(runs, decisive=False)

    def relation(self) -> Run:
        run = self.operand()
        while sign := self.take(*_RELATIONS):
            self.relations += 1
            run = self.compared(sign, run, self.operand())
        return run

    def operand(self) -> Run:
        return self.unary()

    def compared(self, sign: str, left: Run, right: Run) -> Run:
        compare = _RELATIONS[sign]
        return _weighed(self, sign, left, right) if sign in ("==", "!=", "in") else _relation(compare, left, right)

    def unary(self) -> Run:
        if not self.take("!"):
            return self.primary()
        if self.peek() == "!":  # the engine cancels the two, whatever follows them
            raise NotOurs
        return self.negated(self.primary())

    def negated(self, run: Run) -> Run:
        return _negation(run)

    def primary(self) -> Run:
        if self.take("("):
            run = self.ternary()
            self.expect(")")
            return self.end_of_primary(run)
        if self.take("["):
            return self.end_of_primary(_listed(self.items()))
        literal = literal_at(self.tokens, self.at)
        if literal is not None:
            (value,), self.at = literal
            return self.end_of_primary(lambda _: value)
        if self.peek() == "has":
            return self.has()
        return self.end_of_primary(self.path())

    def items(self) -> list[Run]:
        runs: list[Run] = []
        while not self.take("]"):
            runs.append(self.ternary())
            if not self.take(","):
                self.expect("]")
                break
        return runs

    def path(self) -> Run:
        found = path_at(self.tokens, self.at)
        if found is None:
            raise NotOurs
        path, self.at = self.rooted(found[0]), found[1]
        self.paths.append(path)
        return lambda variables: walk(path, variables)

    def rooted(self, path: tuple[Part, ...]) -> tuple[Part, ...]:
        """The path from one of the roots."""
        head = str(path[0])
        if head in self.roots:
            return path
        if self.default_root is None or head in _RESERVED:
            raise NotOurs
        return (self.default_root, *path)

    def has(self) -> Run:
        self.at += 1
        self.expect("(")
        run = self.path()
        last = self.tokens[self.at - 2].text
        self.expect(")")
        *parent, _ = self.paths.pop()
        if last != "." or not parent:
            raise NotOurs
        self.paths.append(tuple(parent))
        return self.end_of_primary(_has(tuple(parent), run))

    def end_of_primary(self, run: Run) -> Run:
        """Leaves a call, an index or arithmetic that follows to CEL."""
        if self.peek() in ("(", "[", ".", "{"):
            raise NotOurs
        return run


def _choice(condition: Run, then: Run, otherwise: Run) -> Run:
    def run(variables: Variables) -> Any:
        chosen = condition(variables)
        if chosen is True:
            return then(variables)
        return otherwise(variables) if chosen is False else MISSING

    return run


def _connected(runs: list[Run], *, decisive: bool) -> Run:
    """`||` (decided by a True) and `&&` (by a False): a decisive answer beats an error on either side."""

    def run(variables: Variables) -> Any:
        answer: Any = not decisive
        for part in runs:
            value = part(variables)
            if value is decisive:
                return decisive
            if value is not (not decisive):
                answer = MISSING
        return answer

    return run


def _negation(operand: Run) -> Run:
    def run(variables: Variables) -> Any:
        value = operand(variables)
        return not value if isinstance(value, bool) else MISSING

    return run


def _listed(runs: list[Run]) -> Run:
    def run(variables: Variables) -> Any:
        values = [part(variables) for part in runs]
        return MISSING if any(value is MISSING for value in values) else values

    return run


def _has(parent: tuple[Part, ...], member: Run) -> Run:
    def run(variables: Variables) -> Any:
        if not isinstance(walk(parent, variables), dict):
            return MISSING
        return member(variables) is not MISSING

    return run


def _relation(compare: Callable[[Any, Any], Any], left: Run, right: Run) -> Run:
    def run(variables: Variables) -> Any:
        one, other = left(variables), right(variables)
        return MISSING if one is MISSING or other is MISSING else compare(one, other)

    return run


def _weighed(parser: Parser, sign: str, left: Run, right: Run) -> Run:
    """A comparison that may read all of a list or a map."""
    compare = _RELATIONS[sign]

    def run(variables: Variables) -> Any:
        one, other = left(variables), right(variables)
        if one is MISSING or other is MISSING:
            return MISSING
        if type(other) in _CONTAINERS and (len(other) > _FEW or type(one) in _CONTAINERS):
            _pay(parser, sign, variables, one, other)
        return compare(one, other)

    return run


_CONTAINERS = frozenset({list, dict})
_FEW = 16  # scalars: to count them would take longer than to compare them


def _pay(parser: Parser, sign: str, variables: Variables, one: Any, other: Any) -> None:
    """Pays for a comparison with a list or a map. Different lengths differ at once."""
    budget = variables.get(BUDGET) or Budget(EXPRESSION_STEPS // parser.relations)
    many: Any = other
    if sign == "in":
        if type(one) in _CONTAINERS:  # each item may be compared with all of it
            budget.spend_on(other)
        else:
            budget.spend(1 if isinstance(other, dict) else len(many))
    elif type(one) is type(other) and len(one) == len(other):
        budget.spend_on(other)


def equal(one: object, other: object) -> bool:
    """CEL's equality: 1 equals 1.0, true does not equal 1, and values of different kinds differ."""
    if is_number(one):
        return is_number(other) and one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        items, others = cast("list[object]", one), cast("list[object]", other)
        return len(items) == len(others) and all(map(equal, items, others))
    if isinstance(one, dict):
        fields, them = cast("dict[str, object]", one), cast("dict[str, object]", other)
        return fields.keys() == them.keys() and all(equal(item, them[name]) for name, item in fields.items())
    return one == other


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def run(one: Any, other: Any) -> Any:
        if is_number(one) and is_number(other):
            return compare(one, other)
        same = type(one) is type(other) and isinstance(one, (str, bool, datetime, timedelta, bytes))
        return compare(one, other) if same else MISSING

    return run


def _contained(one: object, other: object) -> Any:
    if isinstance(other, list):
        return any(equal(one, item) for item in cast("list[object]", other))
    if isinstance(other, dict) and isinstance(one, (str, int)):  # a map may have keys of these types
        return isinstance(one, str) and one in other
    return MISSING


_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": equal,
    "!=": lambda one, other: not equal(one, other),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _contained,
}
