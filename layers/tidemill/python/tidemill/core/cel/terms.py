"""Runs the expressions beyond the common subset: arithmetic, calls, and loops within a budget.

The CEL engine has no bound: `items.all(a, items.exists_one(b, a == b))` over 100,000 items does not end, and blocks
the process. So this module evaluates every expression that could take long, step by step, and pays each step from one
budget; the engine performs single operations. When the budget is used up, the expression has no value, as if a path
were missing. Compiling refuses loops that are nested deeper than EXPRESSION_LOOPS.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, cast

from tidemill.core.cel.budget import Budget
from tidemill.core.cel.engine import executed, program
from tidemill.core.cel.leaves import FUNCTIONS, METHODS, Leaf, arithmetic, negative, pattern_problem
from tidemill.core.cel.subset import BUDGET, MISSING, NotOurs, Parser, Run, Subset, Variables, walk
from tidemill.core.cel.tokens import Part, Token, literal_at, tokens
from tidemill.limits import EXPRESSION_LOOPS

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_WORDS = frozenset({"in", "true", "false", "null"})  # never a member's name


class Unbounded(Exception):
    """An expression that would be expensive over any data."""


def compile_terms(text: str, roots: frozenset[str], default_root: str | None) -> Subset | None:
    """The compiled expression, or None if it needs the engine (or is not CEL). Raises Unbounded."""
    parser = _Terms(tokens(text), roots, default_root)
    try:
        run = parser.ternary()
        if parser.at != len(parser.tokens):
            return None
    except NotOurs:
        return None
    known = roots | {default_root}
    paths = tuple(path for path in parser.paths if path[0] in known)  # the others begin with a loop's name

    def budgeted(variables: Variables) -> Any:
        return run({**variables, BUDGET: Budget()})

    return Subset(budgeted, paths)


def has_loops(text: str) -> bool:
    """Whether the engine could take more than constant time per character of the text."""
    found = tokens(text)
    return any(token.text in MACROS or token.text == "matches" for token, after in pairwise(found) if after.text == "(")


class _Terms(Parser):
    def __init__(self, found: list[Token], roots: frozenset[str], default_root: str | None) -> None:
        super().__init__(found, roots, default_root)
        self.bound: tuple[str, ...] = ()  # the names that the surrounding loops bind

    # --- precedences beyond the subset ----------------------------------------------------------------

    def operand(self) -> Run:
        return self._chain(("+", "-"), lambda: self._chain(("*", "/", "%"), self.unary))

    def _chain(self, signs: tuple[str, ...], part: Any) -> Run:
        run: Run = part()
        while sign := self.take(*signs):
            run = _applied(arithmetic(sign), [run, part()])
        return run

    def unary(self) -> Run:
        """An even number of signs cancels out, whatever follows: the engine does the same."""
        sign = self.peek()
        if sign not in ("!", "-") or literal_at(self.tokens, self.at) is not None:
            return self.primary()
        count = 0
        while self.take(sign):
            count += 1
        run = self.primary()
        if count % 2 == 0:
            return run
        return self.negated(run) if sign == "!" else _applied(negative, [run])

    # --- values, and what follows them ------------------------------------------------------------------

    def primary(self) -> Run:
        token = self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", 0)
        if token.text == "{":
            return self.end_of_primary(self._map())
        if token.kind == "string" and literal_at(self.tokens, self.at) is None:
            self.at += 1
            return self.end_of_primary(_constant(token.text))
        if token.kind == "name" and token.text != "has" and self._follows("("):
            self.at += 2
            return self.end_of_primary(self._call(FUNCTIONS, token.text, []))
        return super().primary()

    def _follows(self, text: str) -> bool:
        return self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].text == text

    def _map(self) -> Run:
        self.expect("{")
        keys: list[Run] = []
        values: list[Run] = []
        while not self.take("}"):
            literal = literal_at(self.tokens, self.at)
            if literal is not None and not isinstance(literal[0].value, str):
                raise NotOurs  # the engine handles a map of numbers
            keys.append(self.ternary())
            self.expect(":")
            values.append(self.ternary())
            if not self.take(","):
                self.expect("}")
                break
        return _mapped(keys, values)

    def path(self) -> Run:
        """Members and literal indexes, up to a call or to an index that is to be evaluated."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", 0)
        if not _is_name(token):
            raise NotOurs
        self.at += 1
        parts: list[Part] = [token.text]
        while (part := self._member()) is not None:
            parts.append(part)
        path = tuple(parts) if token.text in self.bound else self.rooted(tuple(parts))
        self.paths.append(path)
        return lambda variables: walk(path, variables)

    def _member(self) -> Part | None:
        after = self.tokens[self.at + 1 : self.at + 3]
        if (
            self.peek() == "."
            and after
            and after[0].kind == "name"
            and after[0].text not in ("in", "true", "false", "null")
        ):
            if len(after) > 1 and after[1].text == "(":
                return None
            self.at += 2
            return after[0].text
        if self.peek() == "[" and (index := literal_at(self.tokens, self.at + 1)) is not None:
            (value,), end = index
            if end < len(self.tokens) and self.tokens[end].text == "]" and type(value) in (str, int):
                self.at = end + 1
                return cast("Part", value)
        return None

    def end_of_primary(self, run: Run) -> Run:
        while True:
            if self.take("["):
                index = self.ternary()
                self.expect("]")
                run = _indexed(run, index)
            elif self.peek() == ".":
                run = self._after_dot(run)
            elif self.peek() in ("(", "{"):
                raise NotOurs
            else:
                return run

    def _after_dot(self, run: Run) -> Run:
        self.at += 1
        name = self._name()
        if not self.take("("):
            return _part_of(run, name)
        return self._loop(name, run) if name in MACROS else self._call(METHODS, name, [run])

    def _name(self) -> str:
        if self.at >= len(self.tokens) or not _is_name(self.tokens[self.at]):
            raise NotOurs
        self.at += 1
        return self.tokens[self.at - 1].text

    def _call(self, known: dict[tuple[str, int], Leaf], name: str, arguments: list[Run]) -> Run:
        given: list[Run] = []
        begin = self.at
        while not self.take(")"):
            given.append(self.ternary())
            if not self.take(","):
                self.expect(")")
                break
        leaf = known.get((name, len(given)))
        if leaf is None:
            raise NotOurs
        if name == "matches":
            self._check_pattern(begin)
        return _applied(leaf, [*arguments, *given])

    def _check_pattern(self, at: int) -> None:
        if self.tokens[at].kind == "string" and self.at == at + 2:
            problem = pattern_problem(str(_constant(self.tokens[at].text)({})))
            if problem is not None:
                raise Unbounded(problem)

    # --- loops ------------------------------------------------------------------------------------------

    def _loop(self, kind: str, over: Run) -> Run:
        """`x.exists(name, body)` and the like; map() may have a condition before its body."""
        name = self._name()
        begin = self.at
        self.bound, before = (*self.bound, name), self.bound
        if len(self.bound) > EXPRESSION_LOOPS:
            raise Unbounded(f"it has more than {EXPRESSION_LOOPS} of all(), exists(), map(), … within each other")
        bodies: list[Run] = []
        while self.take(","):
            bodies.append(self.ternary())
        self.expect(")")
        self.bound = before
        if len(bodies) != 1 and (kind != "map" or len(bodies) != 2):
            raise NotOurs
        steps = 2 + (self.at - begin) // 2
        return _looped(kind, over, name, bodies, steps)


def _is_name(token: Token) -> bool:
    return token.kind == "name" and token.text not in _WORDS


def _constant(text: str) -> Run:
    """A literal in a rarer form, read by the engine."""
    try:
        value = executed(program(text), {})
    except ValueError:
        raise NotOurs from None
    if isinstance(value, BaseException):
        raise NotOurs
    return lambda _: value


def _applied(leaf: Leaf, operands: list[Run]) -> Run:
    def run(variables: Variables) -> Any:
        values = [operand(variables) for operand in operands]
        if any(value is MISSING for value in values):
            return MISSING
        return leaf(variables[BUDGET], values)

    return run


def _mapped(keys: list[Run], values: list[Run]) -> Run:
    def run(variables: Variables) -> Any:
        made: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            name, item = key(variables), value(variables)
            if not isinstance(name, str) or item is MISSING:
                return MISSING
            made[name] = item
        return made

    return run


def _part_of(whole: Run, name: str) -> Run:
    return lambda variables: walk((name,), whole(variables))


def _indexed(whole: Run, index: Run) -> Run:
    def run(variables: Variables) -> Any:
        value, at = whole(variables), index(variables)
        return walk((at,), value) if type(at) in (str, int) else MISSING

    return run


def _looped(kind: str, over: Run, name: str, bodies: list[Run], steps: int) -> Run:
    gather = _KINDS[kind]

    def run(variables: Variables) -> Any:
        items = over(variables)
        if not isinstance(items, (list, dict)):
            return MISSING
        budget = variables[BUDGET]
        scope = dict(variables)

        def each() -> Iterable[tuple[Any, list[Any]]]:
            for item in cast("list[Any]", items):
                budget.spend(steps)
                scope[name] = item
                yield item, [body(scope) for body in bodies] if len(bodies) == 1 else _conditional(bodies, scope)

        return gather(each())

    return run


def _conditional(bodies: list[Run], scope: dict[str, Any]) -> list[Any]:
    """map(x, condition, body): the body only where the condition is true."""
    holds = bodies[0](scope)
    return [holds, bodies[1](scope) if holds is True else None]


_Each = Iterable[tuple[Any, list[Any]]]


def _all(each: _Each) -> Any:
    for _, (holds,) in each:
        if holds is not True:
            return False if holds is False else MISSING
    return True


def _exists(each: _Each) -> Any:
    for _, (holds,) in each:
        if holds is not False:
            return True if holds is True else MISSING
    return False


def _exists_one(each: _Each) -> Any:
    count = 0
    for _, (holds,) in each:
        if not isinstance(holds, bool):
            return MISSING
        count += holds
    return count == 1


def _filter(each: _Each) -> Any:
    kept: list[Any] = []
    for item, (holds,) in each:
        if not isinstance(holds, bool):
            return MISSING
        if holds:
            kept.append(item)
    return kept


def _map(each: _Each) -> Any:
    made: list[Any] = []
    for _, found in each:
        if len(found) == 2:
            if not isinstance(found[0], bool):
                return MISSING
            if not found[0]:
                continue
        if found[-1] is MISSING:
            return MISSING
        made.append(found[-1])
    return made


_KINDS = {"all": _all, "exists": _exists, "exists_one": _exists_one, "filter": _filter, "map": _map}
