"""Reads the JSON of a definition strictly, and reports each problem of the text by line and column.

Fast decoders report byte offsets, not lines, and keep only the last of two equal keys: one of two steps with the same
id would be lost. So this is the standard library's decoder, made strict.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tidemill import json_numbers
from tidemill.limits import JSON_DEPTH

if TYPE_CHECKING:
    from tidemill.declare.problems import Problems

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>-?Infinity|NaN)', re.DOTALL)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_$-]+")
_HALF = re.compile("[\ud800-\udfff]")
_FILE = "the file"


class _Object(dict[str, Any]):
    """An object that remembers its duplicate keys."""

    repeated: tuple[str, ...] = ()


class _ConstantError(ValueError):
    pass


def read(data: bytes, problems: Problems) -> Any:
    """The value, or None if the text is not JSON; `problems` says why."""
    import json  # imported late: listing the files does not need it

    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_refuse,
            parse_int=json_numbers.whole, parse_float=json_numbers.real,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(f"line {line}", "is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        problems.add(f"line {error.lineno}, column {error.colno}", f"is not JSON: {_lower(error.msg)}")
    except _ConstantError as error:
        line, column = _place_of_constant(data.decode("utf-8-sig"))
        problems.add(f"line {line}, column {column}", f"is not JSON: there is no number {error}")
    except RecursionError:
        problems.add(_FILE, f"is nested more than {JSON_DEPTH} deep")
    else:
        if (large := json_numbers.first(text)) is not None:
            at, number = large
            line, column = _line_and_column(text, at)
            problems.add(f"line {line}, column {column}", f"{json_numbers.SENTENCE}: {number}")
            return None
        _check(value, "", 0, problems)
        return value
    return None


def join(where: str, key: str | int) -> str:
    """The path of a member: `steps.sms.after[0]`, `steps['a b']`."""
    if isinstance(key, int):
        return f"{where}[{key}]"
    if not _PLAIN_KEY.fullmatch(key):
        return f"{where}[{key!r}]"
    return f"{where}.{key}" if where else key


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        found.repeated = tuple(key for key in found if keys.count(key) > 1)
    return found


def _refuse(constant: str) -> NoReturn:
    raise _ConstantError(constant)


def _place_of_constant(text: str) -> tuple[int, int]:
    at = next(found.start() for found in _WORD.finditer(text) if found["constant"])
    return _line_and_column(text, at)


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def _check(value: Any, where: str, depth: int, problems: Problems) -> None:
    """Reports duplicate keys, and halves of surrogate pairs, which cannot be sent as UTF-8."""
    if depth > JSON_DEPTH:
        problems.add(where, f"is nested more than {JSON_DEPTH} deep")
    elif isinstance(value, _Object):
        for key in value.repeated:
            problems.add(join(where, key), "is there twice; keep one of the two")
        for key, one in value.items():
            _check(key, join(where, key), depth, problems)
            _check(one, join(where, key), depth + 1, problems)
    elif isinstance(value, list):
        for index, one in enumerate(cast("list[object]", value)):
            _check(one, join(where, index), depth + 1, problems)
    elif isinstance(value, str) and _HALF.search(value):
        problems.add(where or _FILE, f"holds half of a surrogate pair: {value[:40]!r}")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
