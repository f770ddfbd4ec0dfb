"""Splits the condition of a wait, so that an event finds its waits by key instead of asking every waiter.

A condition over `event` (the run's own) and `async` (the incoming one) is split at its top-level `&&`. A part
that compares a path of the incoming event with a path of the run's event, or with a literal, makes a key: the
run's side is known when the wait is made, so the wait is stored under the path and the hash of that value, and
an incoming event finds it by its own value at that path. One such part makes the key; the rest filters. A
condition under `||` or `? :` cannot be split: such a wait has no key.

Equal values have equal hashes in the sense of CEL: 1 and 1.0 are equal; 1, true and '1' are not.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tidemill.core.cel.subset import MISSING, walk
from tidemill.core.cel.tokens import Literal, Part, Token, literal_at, path_at, tokens, write_path
from tidemill.core.expression import ExpressionError, Missing
from tidemill.core.expression import compile as compile_expression
from tidemill.model import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MISSING", "Key", "Missing", "Split", "check", "condition_holds", "lookup", "resolve", "split", "value_hash"]

_ROOTS = frozenset({"event", "async"})
_OPEN, _CLOSE = ("(", "[", "{"), (")", "]", "}")
_FIELDS = ("data", "user", "id", "name", "ts", "v")

Path = tuple[Part, ...]


class Key(NamedTuple):
    """An equality that can find a wait: a path of the incoming event, and a path of the run's event or a literal."""

    path: str
    equals: Path | Literal


class Split(NamedTuple):
    """A condition's parts: the key (None if it has none), and the parts that filter."""

    key: Key | None
    rest: tuple[str, ...]


def check(*, match: str | None = None, when: str | None = None) -> None:
    """Refuse an invalid condition before there is an event. Raises ExpressionError."""
    if match is not None and when is not None:
        raise ExpressionError("give match or when, not both: when can say everything that match says")
    if match is not None:
        _match_path(match)
    if when is not None:
        split(when)


def resolve(run_event: Mapping[str, Any], *, match: str | None = None, when: str | None = None) -> Condition:
    """The condition on an awaited event, given the run's own event. Raises ExpressionError.

    A path that the run's event lacks makes a condition that is `never` true; no match and no when, one that
    is always true.
    """
    check(match=match, when=when)
    if match is not None:
        path = _match_path(match)
        return _condition(Key(write_path(path), path), (), run_event)
    if when is not None:
        return _condition(*split(when), run_event)
    return Condition()


def _condition(key: Key | None, rest: tuple[str, ...], run_event: Mapping[str, Any]) -> Condition:
    filters = rest[0] if len(rest) == 1 else " && ".join(f"({part})" for part in rest) or None
    if key is None:
        return Condition(when=filters)
    value = key.equals.value if isinstance(key.equals, Literal) else walk(key.equals, run_event)
    if value is MISSING:
        return Condition(path=key.path, when=filters, never=True)
    return Condition(path=key.path, hash=value_hash(value), when=filters)


def condition_holds(condition: Condition, run_event: Mapping[str, Any], incoming: Mapping[str, Any]) -> bool:
    """Whether the incoming event satisfies the condition."""
    if condition.never:
        return False
    if condition.path is not None:
        value = lookup(condition.path, incoming)
        if value is MISSING or value_hash(value) != condition.hash:
            return False
    if condition.when is None:
        return True
    return compile_expression(condition.when, _ROOTS).holds({"event": run_event, "async": incoming})


def lookup(path: str, event: Mapping[str, Any]) -> Any:
    """The value at a path such as `data.items[0]['a-b']`, or MISSING. Raises ExpressionError if it is no path."""
    return walk(_match_path(path), event)


@lru_cache(maxsize=4096)
def _match_path(text: str) -> Path:
    found = tokens(text)
    if found and found[0].text in _FIELDS and (path := path_at(found, 0)) and path[1] == len(found):
        return path[0]
    raise ExpressionError(
        f"match '{text}' is not a path of an event: begin with {', '.join(_FIELDS)}, as in data.video_id "
        "or data['video-id']; a condition belongs in when"
    )


# --- splitting a condition -----------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def split(when: str) -> Split:
    """Split a condition into a key and filters. Raises ExpressionError."""
    compile_expression(when, _ROOTS)
    parts = _conjuncts(tokens(when))
    keys = [(part, key) for part in parts if (key := _key_of(part)) is not None]
    # A value of the run's own event separates waits better than a literal that every run shares.
    keys.sort(key=lambda found: isinstance(found[1].equals, Literal))
    key_part, key = keys[0] if keys else (None, None)
    rest = tuple(when[part[0].start : part[-1].end] for part in parts if part is not key_part)
    return Split(key, rest)


def _conjuncts(found: list[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in found:
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0 and token.text in ("||", "?"):
            return [found]
        if depth == 0 and token.text == "&&":
            parts.append([])
        else:
            parts[-1].append(token)
    if len(parts) > 1:
        return [inner for part in parts for inner in _conjuncts(part)]
    return _conjuncts(found[1:-1]) if _is_wrapped(found) else [found]


def _is_wrapped(found: list[Token]) -> bool:
    """Whether one pair of parentheses encloses everything."""
    if found[0].text != "(":
        return False
    depth = 0
    for at, token in enumerate(found):
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        if depth == 0:
            return at == len(found) - 1
    return False


def _key_of(part: list[Token]) -> Key | None:
    sides = [at for at, token in enumerate(part) if token.text == "=="]
    if len(sides) != 1:
        return None
    left, right = _side(part[: sides[0]]), _side(part[sides[0] + 1 :])
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Literal) or one is None or other is None:
            continue
        if one[0] == "async" and one[1:2] and one[1] in _FIELDS:
            if isinstance(other, Literal):
                return Key(write_path(one[1:]), other)
            if other[0] == "event":
                return Key(write_path(one[1:]), other[1:])
    return None


def _side(found: list[Token]) -> Path | Literal | None:
    for read in (literal_at, path_at):
        side = read(found, 0)
        if side is not None and side[1] == len(found):
            return side[0]
    return None


# --- the hash of a value -------------------------------------------------------------------------------


def value_hash(value: Any) -> str:
    """24 hexadecimal digits, the same for values that CEL calls equal, in every process and version."""
    return blake2b(_canonical(value).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return f"{len(value)}'{value}'"
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return hex(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_canonical, cast('list[Any]', value)))}]"
    if isinstance(value, dict):
        fields = sorted(cast("dict[str, Any]", value).items())
        return f"{{{','.join(f'{_canonical(name)}:{_canonical(item)}' for name, item in fields)}}}"
    return f"{type(value).__name__} {value}"  # a time or duration that an expression made
