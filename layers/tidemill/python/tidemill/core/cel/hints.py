"""Hints for error messages: CEL's form for operators of other languages, and the path for one that lacks its root."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from tidemill.core.cel.tokens import Token, tokens

_INSTEAD = {
    "=": "==", "===": "==", "!==": "!=", "<>": "!=", "is": "==", "and": "&&", "or": "||", "not": "!",
    "true": "true", "false": "false", "none": "null", "null": "null", "nil": "null", "undefined": "null",
}  # fmt: skip
_END = Token("end", "", -1)
_OWN = frozenset({"true", "false", "null"})
_EVENT_FIELDS = frozenset({"id", "name", "data", "user", "ts", "v"})
_PARSER = (
    (re.compile(r"(?:mismatched|extraneous) input '(.*?)' expecting .*", re.DOTALL), r"'\1' does not belong here"),
    (re.compile(r"token recognition error at: '(.*)'", re.DOTALL), r"'\1' is not understood"),
    (re.compile(r"no viable alternative at input '(.*?)'", re.DOTALL), r"'\1' is not understood"),
)


class Foreign(NamedTuple):
    """An operator or word of another language, its position, and CEL's form of it."""

    text: str
    start: int
    instead: str


def foreign(text: str) -> Foreign | None:
    """The first word of the expression that belongs to another language."""
    end = 0
    for token, after in pairwise([*tokens(text), _END]):
        if token.start < end:
            continue
        word = token.text
        if after.start == token.end and word + after.text in _INSTEAD:
            word += after.text
        end = token.start + len(word)
        instead = None if word in _OWN or token.kind == "string" else _INSTEAD.get(word.lower())
        if instead is not None and text[: token.start].rstrip()[-1:] != ".":
            return Foreign(word, token.start, instead)
    return None


def plainly(problem: str) -> str:
    """The parser's message, without its list of tokens."""
    for pattern, said in _PARSER:
        if pattern.fullmatch(problem):
            return pattern.sub(said, problem).replace("'<EOF>' does not belong here", "the expression ends too early")
    return problem.replace("at '<EOF>'", "at the end")


def rooted(path: str, roots: frozenset[str]) -> str:
    """The path that was probably meant: `event.data.user_id` for `data.user_id`, and for `user_id`."""
    root = "event" if "event" in roots else min(roots)
    path = path.removeprefix("async.")  # the awaited event, where none exists
    return f"{root}.{path}" if path.partition(".")[0] in _EVENT_FIELDS else f"{root}.data.{path}"
