"""Turns a function's triggers into the pattern of its EventBridge rule, which filters events before any Lambda runs.

A pattern takes every event that the triggers take, and may take more: the function's own Lambda decides with the whole
condition. So the pattern leaves out every filter that EventBridge may judge differently from CEL:

- EventBridge sees leaves. An object, a list or a missing field matches only the filter for absence, but CEL's `!=`,
  `has()` and `x in y` are true of objects and lists: the pattern omits these.
- EventBridge matches any element of a list: more than CEL, which is allowed.
- EventBridge compares numbers within bounds only (see `comparable`).
- A pattern has at most 2,048 characters: the longest filters are left out until it fits.

A condition is expanded into alternatives, each a conjunction of filters by path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import product
from typing import Any, cast

from tidemill.core.cel.tokens import Literal, Token, literal_at, path_at, tokens
from tidemill.core.comparable import is_comparable
from tidemill.model import PLATFORM, EventTrigger, Trigger

SOURCE = "tidemill"
INEXACT = "inexact"  # an event's mark that it holds numbers which EventBridge cannot compare
LONGEST = 2_048  # characters of a pattern

Path = tuple[str, ...]  # never empty
Filters = list[Any]  # any of which must match
Conjunction = dict[Path, Filters]  # all of which must
Alternatives = list[Conjunction]  # any of which must

_ANY: Alternatives = [{}]
_EXISTS: Filters = [{"exists": True}]
_ABSENT: Filters = [{"exists": False}]
_MOST_ALTERNATIVES = 12
_NAME: Path = ("name",)

_OPEN, _CLOSE = ("(", "[", "{"), (")", "]", "}")
_RELATIONS = {
    "==": "==",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
    "in": "",
}  # the operator with its sides exchanged
_PART = re.compile(r"[A-Za-z0-9_-]+")
# Reserved words of the pattern language, which cannot be names of fields.
_WORDS = {"exists", "prefix", "suffix", "numeric", "anything-but", "wildcard", "cidr", "equals-ignore-case"}
_TEXTS = ("id", "name")  # fields that always hold text
_MAYBE = ("user", "v")  # fields that an event may lack: null to CEL, absent to EventBridge


def pattern(triggers: Sequence[Trigger]) -> dict[str, Any] | None:
    """The pattern for a function with these triggers; None if it listens to no event."""
    found: Alternatives = []
    for trigger in triggers:
        if isinstance(trigger, EventTrigger):
            found += _alternatives_of(trigger)
    return _fitting(_joined(found)) if found else None


def _alternatives_of(trigger: EventTrigger) -> Alternatives:
    name: Conjunction = {_NAME: [_name_filter(trigger.name)]}
    if trigger.when is None:
        return [name]
    found = _alternatives(tokens(trigger.when))
    if any(_is_range(filters) for each in found for filters in each.values()):
        found = [*found, {(INEXACT,): [True]}]
    return [each | name for each in found]


def _is_range(filters: Filters) -> bool:
    return any(_operands(each)[:1] not in ([], ["="]) for each in filters)


def _operands(one: Any) -> list[Any]:
    """The operands of a comparison of numbers: operator, number, and for a range a second pair."""
    return cast("dict[str, list[Any]]", one).get("numeric", []) if isinstance(one, dict) else []


def _name_filter(name: str) -> Any:
    if name == "*":
        return {"anything-but": {"prefix": PLATFORM}}
    return {"prefix": name[:-1]} if name.endswith("*") else name


# --- from a condition to alternatives ------------------------------------------------------------------


def _alternatives(found: list[Token]) -> Alternatives:
    while _is_wrapped(found):
        found = found[1:-1]
    if not found or len(_split(found, "?")) > 1:
        return _ANY
    if len(either := _split(found, "||")) > 1:
        return _joined([each for part in either for each in _alternatives(part)])
    if len(both := _split(found, "&&")) > 1:
        return _all_of([_alternatives(part) for part in both])
    return [_single(found)]


def _all_of(parts: list[Alternatives]) -> Alternatives:
    result = _ANY
    for part in parts:
        if len(result) * len(part) <= _MOST_ALTERNATIVES:
            result = _joined([_both(one, other) for one, other in product(result, part)])
    return result


def _both(one: Conjunction, other: Conjunction) -> Conjunction:
    result = dict(one)
    for path, filters in other.items():
        result[path] = _narrowed(result[path], filters) if path in result else filters
    return result


def _narrowed(one: Filters, other: Filters) -> Filters:
    """A path has one list of filters: a lower and an upper bound become a range, else the first list is kept."""
    if one == _EXISTS:
        return other
    bounds = [_operands(filters[0]) for filters in (one, other) if len(filters) == 1]
    if [len(bound) for bound in bounds] == [2, 2]:
        lower, upper = sorted(bounds, key=_sign, reverse=True)
        if lower[0] in (">", ">=") and upper[0] in ("<", "<=") and lower[1] < upper[1]:
            return [{"numeric": [*lower, *upper]}]
    return one


def _sign(operands: list[Any]) -> str:
    return str(operands[0])


def _joined(found: Alternatives) -> Alternatives:
    """Fewer alternatives: those that differ in one path become one, and those that another covers are dropped."""
    result: Alternatives = []
    for each in found:
        conjunction = dict(each)
        while (at := next((i for i, other in enumerate(result) if _mergeable(other, conjunction)), None)) is not None:
            conjunction = _merged(result.pop(at), conjunction)
        result.append(conjunction)
    if {} in result:
        return _ANY
    return [one for one in result if not any(other is not one and _takes(other, one) for other in result)]


def _mergeable(one: Conjunction, other: Conjunction) -> bool:
    return one.keys() == other.keys() and sum(one[path] != other[path] for path in one) <= 1


def _merged(one: Conjunction, other: Conjunction) -> Conjunction:
    return {path: [*one[path], *(each for each in other[path] if each not in one[path])] for path in one}


def _takes(wide: Conjunction, narrow: Conjunction) -> bool:
    return len(wide) < len(narrow) and all(narrow.get(path) == filters for path, filters in wide.items())


# --- one comparison ------------------------------------------------------------------------------------


def _single(found: list[Token]) -> Conjunction:
    at = [i for i, part in enumerate(_depths(found)) if part == 0 and found[i].text in _RELATIONS]
    if len(at) == 1:
        return _relation(found[: at[0]], found[at[0]].text, found[at[0] + 1 :])
    if at:
        return {}
    if found[0].text == "!":
        return _negation(found[1:])
    path = _path(found)
    return {path: [True]} if path else _call(found)


def _negation(found: list[Token]) -> Conjunction:
    if [token.text for token in found[:2]] == ["has", "("] and found[-1].text == ")":
        path = _path(found[2:-1])
        # Fields that every event has are null when they are absent.
        return {path: _ABSENT} if path and len(path) > 1 else {}
    path = _path(found)
    return {path: [False]} if path else {}


def _call(found: list[Token]) -> Conjunction:
    """`path.method("text")`: true only of text, which is a leaf."""
    if len(found) < 5 or found[-3].text != "(" or found[-1].text != ")":
        return {}
    path, literal = _path(found[:-5]), _literal(found[-2:-1])
    method = found[-4].text
    if not path or found[-5].text != "." or literal is None or not isinstance(text := literal.value, str):
        return {}
    if method in ("startsWith", "endsWith") and text and _is_plain(text):
        return {path: [{"prefix" if method == "startsWith" else "suffix": text}]}
    return {path: _EXISTS} if method in ("startsWith", "endsWith", "contains", "matches") else {}


def _relation(left: list[Token], sign: str, right: list[Token]) -> Conjunction:
    if sign == "in":
        return _among(_path(left), right)
    path, literal = _path(left), _literal(right)
    if path is None:
        path, literal, sign = _path(right), _literal(left), _RELATIONS[sign]
    if path is None or literal is None:
        return {}
    if sign == "==":
        return {path: _equal(path, literal.value)}
    return _differs(path, literal.value) if sign == "!=" else {path: _ordered(sign, literal.value)}


def _among(path: Path | None, found: list[Token]) -> Conjunction:
    if path is None or len(found) < 3 or found[0].text != "[" or found[-1].text != "]":
        return {}
    literals = [_literal(part) for part in _split(found[1:-1], ",")]
    filters: Filters = []
    for literal in literals:
        if literal is None:
            return {}
        filters += [each for each in _equal(path, literal.value) if each not in filters]
    return {path: _EXISTS if _EXISTS[0] in filters else filters}


def _equal(path: Path, value: Any) -> Filters:
    if value is None:
        return [None, *_ABSENT] if ".".join(path) in _MAYBE else [None]
    if isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        return [value] if _is_plain(value) else _EXISTS
    return [{"numeric": ["=", value]}] if is_comparable(value) else _EXISTS


def _differs(path: Path, value: Any) -> Conjunction:
    """A filter for "differs": only for fields without objects and lists, which EventBridge does not see."""
    if len(path) > 1 or not isinstance(value, str) or not _is_plain(value):
        return {}
    name = ".".join(path)
    if name in _TEXTS:
        return {path: [{"anything-but": [value]}]}
    return {path: [{"anything-but": [value]}, *_ABSENT]} if name == "v" else {}


def _ordered(sign: str, value: Any) -> Filters:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return [{"numeric": [sign, value]}] if number and is_comparable(value) else _EXISTS


# --- tokens --------------------------------------------------------------------------------------------


def _path(found: list[Token]) -> Path | None:
    """A path of the event, without "event", if EventBridge can follow it. (No time: it is too large a number.)"""
    read = path_at(found, 0)
    if read is None or read[1] != len(found):
        return None
    root, *rest = read[0]
    parts = [part for part in rest if isinstance(part, str) and _PART.fullmatch(part) and part not in _WORDS]
    if root != "event" or not parts or len(parts) != len(rest):
        return None
    return None if len(parts) == 1 and parts[0] not in (*_TEXTS, *_MAYBE) else tuple(parts)


def _literal(found: list[Token]) -> Literal | None:
    read = literal_at(found, 0)
    return read[0] if read is not None and read[1] == len(found) else None


def _is_plain(text: str) -> bool:
    return text.isprintable()


def _depths(found: list[Token]) -> list[int]:
    """How many brackets enclose each token; a bracket itself counts as inside."""
    depths: list[int] = []
    depth = 0
    for token in found:
        depth += token.text in _OPEN
        depths.append(depth)
        depth -= token.text in _CLOSE
    return depths


def _split(found: list[Token], sign: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token, depth in zip(found, _depths(found), strict=True):
        if depth == 0 and token.text == sign:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _is_wrapped(found: list[Token]) -> bool:
    """Whether one pair of parentheses encloses everything."""
    return len(found) > 2 and found[0].text == "(" and found[-1].text == ")" and min(_depths(found)) > 0


# --- from alternatives to a pattern --------------------------------------------------------------------


def _fitting(found: Alternatives) -> dict[str, Any]:
    """The pattern, with as many filters as fit; at the least the names, and for long names their prefixes."""
    while len(json.dumps(written := _written(found))) > LONGEST:
        filters = [(len(json.dumps(each[path])), i, path) for i, each in enumerate(found) for path in each]
        others = [one for one in filters if one[2] not in (_NAME, (INEXACT,))]
        if not others:
            break
        _, index, path = max(others)
        found = _joined([{key: each[key] for key in each if i != index or key != path} for i, each in enumerate(found)])
    for longest in (256, 80, 10):
        if len(json.dumps(written)) <= LONGEST:
            break
        names = [_shortened(name, longest) for each in found for name in each[_NAME]]
        written = _written([{_NAME: names}])
    return written


def _shortened(name: Any, longest: int) -> Any:
    text = name if isinstance(name, str) else cast("dict[str, Any]", name).get("prefix", "")
    return {"prefix": text[:longest]} if len(text) > longest else name


def _written(found: Alternatives) -> dict[str, Any]:
    common = {path: filters for path, filters in found[0].items() if all(one.get(path) == filters for one in found)}
    detail = _nested(common)
    if len(found) > 1:
        detail["$or"] = [_nested({path: one[path] for path in one if path not in common}) for one in found]
    return {"source": [SOURCE], "detail": detail}


def _nested(filters: Conjunction) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, each in filters.items():
        node: Any = root
        for part in path[:-1]:
            node = node.setdefault(part, {})
            if isinstance(node, list):  # a field cannot be both a leaf and an object: the first filter is kept
                break
        if isinstance(node, dict) and path[-1] not in node:
            node[path[-1]] = each
    return root
