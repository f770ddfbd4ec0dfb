"""Reads JSON from the command line: an argument itself, a file (`@file`), or standard input (`-`)."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from tidemill_local.cli.stop import USAGE, Stop
from tidemill_local.console.terminal import clean

_AROUND = 20  # characters shown on either side of the error
_SHORT = 18  # digits of a whole number that has 64 bits at most, whichever they are


def json_argument(text: str, what: str) -> Any:
    """The value of an argument; `what` names it in errors."""
    if text == "-":
        return json_value(read_text(sys.stdin.buffer.read(), "standard input"), f"{what} (standard input)")
    if text.startswith("@"):
        return json_value(read_file(text[1:]), f"{what} ({text[1:]})")
    return json_value(text, what)


def json_object(text: str, what: str) -> dict[str, Any]:
    value = json_argument(text, what)
    if not isinstance(value, dict):
        raise Stop(USAGE, f'{what} must be a JSON object, such as \'{{"user_id": "u1"}}\', not {kind(value)}')
    return cast("dict[str, Any]", value)


class NumberError(ValueError):
    """A number that is too large to store, in otherwise valid JSON."""


def json_value(text: str, what: str) -> Any:
    """Strict JSON. Raises Stop with the place of the error."""
    try:
        return parse(text)
    except NumberError as error:
        raise Stop(USAGE, f"{what}: {error}") from None
    except ValueError as error:
        raise Stop(USAGE, f"{what} is not JSON: {error}") from None


def parse(text: str) -> Any:
    """Strict JSON. Raises ValueError with the error and its place."""
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=_no_constant)
    except NumberError:
        raise _too_large(text) from None
    except json.JSONDecodeError as error:
        raise ValueError(_explained(error)) from None
    except RecursionError:
        raise ValueError("it nests too deep") from None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"at character {error.start + 1} there is a byte that is not UTF-8") from None
    return value


def read_file(name: str) -> str:
    """The text of a file that the command line names."""
    return read_text(read_bytes(name), name)


def read_bytes(name: str) -> bytes:
    if not name:
        raise Stop(USAGE, "write the name of a file after @")
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL
        raise Stop(USAGE, f"{clean(name)} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Stop(USAGE, f"{name} is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None


def kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    return "text" if isinstance(value, str) else "an array" if isinstance(value, list) else "an object"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value; write null, or text")


def _whole(text: str) -> int:
    if len(text) <= _SHORT:
        return int(text)
    from tidemill import json_numbers

    number = json_numbers.whole(text)
    if number == json_numbers.TOO_LARGE:
        raise NumberError
    return number


def _real(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberError
    return number


def _too_large(text: str) -> NumberError:
    from tidemill import json_numbers  # imported late: `send` does not need the package

    at, number = json_numbers.first(text) or (0, "")
    return NumberError(f"{json_numbers.SENTENCE} ({_place(text, at)}: {number})")


def _place(text: str, at: int) -> str:
    if "\n" not in text:
        return f"character {at + 1}"
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _explained(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "it is empty"
    before = error.doc[max(0, error.pos - _AROUND) : error.pos].rpartition("\n")[2]
    after = error.doc[error.pos : error.pos + _AROUND].partition("\n")[0]
    said = (error.msg[0].lower() + error.msg[1:]).removesuffix(" starting at").rstrip(": ")
    return f"{said} at {_place(error.doc, error.pos)}, here: {before}>>>{after}"


def moment(given: str | None, now: int, option: str) -> int | None:
    """Milliseconds since the epoch, of ISO 8601 or an age such as 2h."""
    from tidemill import duration

    if given is None:
        return None
    try:
        return now - duration.parse(given)
    except ValueError:
        pass
    try:
        return duration.parse_time(given)
    except (ValueError, OverflowError):
        raise Stop(USAGE, f"{option} must be a time (2026-11-01T09:00:00Z) or an age (2h, 3d), not {given!r}") from None
