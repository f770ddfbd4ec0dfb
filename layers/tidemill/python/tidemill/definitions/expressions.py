"""The expressions of a definition: CEL that may name a field of the event without `event.` before it.

`user.plan == 'pro'` means `event.user.plan == 'pro'`. The engine compiles triggers, keys and waits over `event` only,
and splits them to find waits by key. So this module expands the short form, and the engine sees whole paths only.

A bare name that no event has can never have a value. It is a typo (`step.sms` for `steps.sms`), so it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.cel.subset import TYPES
from tidemill.core.cel.tokens import Token, literal_at, tokens
from tidemill.core.expression import ExpressionError
from tidemill.core.expression import compile as compile_expression
from tidemill.definitions.schema import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill.declare.problems import Problems

FIELDS = ("data", "user", "id", "name", "ts", "v")  # of an event
_WORDS = frozenset({"true", "false", "null", "in", *TYPES})
_MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})
_END = Token("end", "", 0)
_WHY_NOT = {
    "steps": "no step has run where this is asked; what depends on a step belongs into the `if` of an edge",
    "async": "the event that is waited for is known to `match` (and to `if` in cancel) alone",
    "ctx": "ctx is what a step's program is given; expressions know the event and the outputs of steps",
}

EVENT = frozenset({"event"})
STEPS = frozenset({"event", "steps"})
ASYNC = frozenset({"event", "async"})


def rooted(text: str, roots: frozenset[str], where: str, problems: Problems) -> str | None:
    """The expression with whole paths; None if it is invalid, and `problems` says why."""
    try:
        compile_expression(text, roots, "event")
        written = _written_out(text, roots)
        compile_expression(written, roots)
    except ExpressionError as error:
        problems.add(where, str(error))
        return None
    return written


def steps_named(text: str) -> Iterator[str]:
    """The steps whose outputs the expression reads: `steps.sms`, `steps['step-1']`."""
    found = [*tokens(text), _END, _END, _END]
    for at in range(len(found) - 3):
        if found[at].text != "steps" or found[at].kind != "name" or (at and found[at - 1].text == "."):
            continue
        mark, member, after = found[at + 1 : at + 4]
        if mark.text == "." and member.kind == "name" and after.text != "(":
            yield member.text
        elif mark.text == "[" and after.text == "]":
            literal = literal_at(found, at + 2)
            if literal is not None and isinstance(literal[0].value, str):
                yield literal[0].value


def _written_out(text: str, roots: frozenset[str]) -> str:
    found = [*tokens(text), _END]
    bound = _bound(found)
    result, end = "", 0
    for at, token in enumerate(found[:-1]):
        member = at and found[at - 1].text == "."
        if token.kind != "name" or member or found[at + 1].text == "(" or token.text in _WORDS | bound | roots:
            continue
        if token.text not in FIELDS:
            _refuse(text, token, roots)
        result += f"{text[end : token.start]}event."
        end = token.start
    return result + text[end:]


def _bound(found: list[Token]) -> set[str]:
    """The names that macros bind: x in `data.items.exists(x, x > 2)`."""
    return {
        found[at + 2].text
        for at in range(1, len(found) - 2)
        if found[at].text in _MACROS and found[at - 1].text == "." and found[at + 1].text == "("
    }


def _refuse(text: str, token: Token, roots: frozenset[str]) -> None:
    begin = ", ".join(sorted(roots, reverse=True))
    why = _WHY_NOT.get(token.text) or f"begin with {begin}, or a field of the event ({', '.join(FIELDS)})"
    hint = "" if token.text in _WHY_NOT else nearest(token.text, [*roots, *FIELDS])
    raise ExpressionError(
        f"in the expression '{text}', column {token.start + 1}: '{token.text}' is not known here: {why}{hint}"
    )
