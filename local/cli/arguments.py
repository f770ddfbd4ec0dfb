"""JSON from the command line: as it stands, from a file (`@file`), or from standard input (`-`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn, cast

from tidemill_local.cli.stop import USAGE, Stop

_AROUND = 20  # characters shown on either side of what is wrong


def json_argument(text: str, what: str) -> Any:
    """The value of an argument; `what` names it where it is wrong."""
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


def json_value(text: str, what: str) -> Any:
    """Strict JSON. Raises Stop with the place of what is wrong."""
    try:
        return parse(text)
    except ValueError as error:
        raise Stop(USAGE, f"{what} is not JSON: {error}") from None


def parse(text: str) -> Any:
    """Strict JSON. Raises ValueError with what is wrong, and where."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
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
    try:
        return read_text(Path(name).read_bytes(), name)
    except OSError as error:
        raise Stop(USAGE, f"{name} cannot be read: {error.strerror or error}") from None


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


def _explained(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return "it is empty"
    place = f"character {error.pos + 1}" if "\n" not in error.doc else f"line {error.lineno}, column {error.colno}"
    before = error.doc[max(0, error.pos - _AROUND) : error.pos].rpartition("\n")[2]
    after = error.doc[error.pos : error.pos + _AROUND].partition("\n")[0]
    said = (error.msg[0].lower() + error.msg[1:]).removesuffix(" starting at").rstrip(": ")
    return f"{said} at {place}, here: {before}>>>{after}"
