"""The rules for names of events, functions and steps. Each check returns the problem as a sentence, or None."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from tidemill.characters import REFUSED
from tidemill.limits import EVENT_NAME_CHARS, FUNCTION_ID_CHARS, STEP_ID_CHARS
from tidemill.model import CANCELLED, FAILED, FINISHED, INVOKED, PLATFORM, REJECTED, TIMER

ANNOUNCED = (FINISHED, FAILED, CANCELLED, INVOKED, TIMER, REJECTED)  # events that a function may listen for
_ID_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def text_problem(value: object, what: str, most: int) -> str | None:
    """`value` must be text of 1 to `most` characters: no control characters, halves of surrogates, U+FFFE or U+FFFF."""
    if not isinstance(value, str):
        return f"{what} must be text, not {type(value).__name__}"
    if not value:
        return f"{what} must not be empty"
    if len(value) > most:
        return f"{what} must have at most {most} characters, not {len(value)}: {value[:40]!r}…"
    if not value.isprintable() and any(map(_is_control, value)):
        return f"{what} must not contain control characters: {value!r}"
    if any(sign in value for sign in REFUSED):
        return f"{what} must not contain U+FFFE or U+FFFF: {value!r}"
    return None


def _is_control(sign: str) -> bool:
    return sign < " " or "\x7f" <= sign <= "\x9f" or "\ud800" <= sign <= "\udfff"


def step_id_problem(value: object) -> str | None:
    return text_problem(value, "a step id", STEP_ID_CHARS)


def id_problem(value: object, what: str) -> str | None:
    """The name of an app or the id of a function, which URLs, queue names and command lines contain."""
    problem = text_problem(value, what, FUNCTION_ID_CHARS)
    if problem is None and isinstance(value, str) and (value[0] in "-_" or not _ID_SIGNS.issuperset(value)):
        return f"{what} may hold letters, digits, hyphens and underscores, and starts with a letter or digit: {value!r}"
    return problem


def awaited_problem(name: object, *, wildcard: bool = False) -> str | None:
    """An event's name in a trigger or a wait; `wildcard` allows a `*` at its end."""
    problem = text_problem(name, "an event name", EVENT_NAME_CHARS)
    if problem is not None or not isinstance(name, str):
        return problem
    if "*" in name and not wildcard:
        return f"an awaited event has one exact name, without '*': {name!r}"
    if "*" in name[:-1]:
        return f"'*' may only stand at the end of an event name: {name!r}"
    if name.startswith(PLATFORM) and not any(_takes(name, announced) for announced in ANNOUNCED):
        return f"the platform sends no {name!r}; it sends {', '.join(ANNOUNCED)}"
    return None


def _takes(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def wait_problem(name: object, match: object, when: object) -> str | None:
    """An awaited event: its name, and at most one of a path to match and a condition."""
    for what, text in (("an event name", name), ("match", match), ("when", when)):
        if not isinstance(text, str) and (text is not None or text is name):
            return f"{what} must be text, not {type(text).__name__}"
    return _wait_problem(cast("str", name), cast("str | None", match), cast("str | None", when))


@lru_cache(maxsize=1024)
def _wait_problem(name: str, match: str | None, when: str | None) -> str | None:
    problem = awaited_problem(name)
    if problem is not None or (match is None and when is None):
        return problem
    from tidemill.core.match import check  # imported late: a wait without a condition needs no expressions

    try:
        check(match=match, when=when)
    except ValueError as error:
        return str(error)
    return None
