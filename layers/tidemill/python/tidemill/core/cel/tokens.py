"""Splits an expression into tokens, paths such as `event.data['a-b']`, and literals.

Enough of CEL's grammar to split a condition and to run the common ones without the CEL engine. What this module
reads means the same to CEL; everything else is left to CEL.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

Part = str | int  # a member's name, or an index in a list


class Token(NamedTuple):
    kind: str  # name, string, float, int, operator, other
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Literal(NamedTuple):
    value: str | int | float | bool | None


# Compiled on first use: most functions have no condition.
_LEXEME = r"""
      (?P<space>  [ \t\r\n\f]+ | //[^\n]* )
    | (?P<string> (?:[rR][bB]?|[bB][rR]) (?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\r\n]*" | '[^'\r\n]*' )
                | [bB]? (?: \"{3}(?:\\[\s\S]|[^\\])*?\"{3} | '{3}(?:\\[\s\S]|[^\\])*?'{3}
                          | "(?:\\.|[^"\\\r\n])*" | '(?:\\.|[^'\\\r\n])*' ) )
    | (?P<name>   [A-Za-z_][A-Za-z0-9_]* )
    | (?P<float>  (?: [0-9]+\.[0-9]+ (?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ ) (?!\w) )
    | (?P<int>    (?: 0 | [1-9][0-9]* ) (?!\w) )
    | (?P<operator> && | \|\| | [=!<>]= | [-+*/%<>!?:.,()\[\]{}] )
    | (?P<other>  [0-9]\w* | [\s\S] )
    """
_PLAIN_STRING = r"""(?!'''|\"\"\")(["'])([^\\]*)\1"""
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_KEYWORDS = {"in", *_WORDS}  # never a member's name after a dot
_INT64 = 2**63


def tokens(text: str) -> list[Token]:
    found: list[Token] = []
    for match in re.finditer(_LEXEME, text, re.VERBOSE):
        kind = match.lastgroup or "other"
        if kind != "space":
            found.append(Token(kind, match[0], match.start()))
    return found


def literal_at(found: list[Token], at: int) -> tuple[Literal, int] | None:
    """The literal that begins at token `at`, and its end; None if there is none, or one in a rare form."""
    negative = at < len(found) and found[at].text == "-"
    at += negative
    if at >= len(found):
        return None
    kind, text, _ = found[at]
    if kind == "int":
        whole = -int(text) if negative else int(text)
        return (Literal(whole), at + 1) if -_INT64 <= whole < _INT64 else None
    if kind == "float":
        number = -float(text) if negative else float(text)
        return (Literal(number), at + 1) if math.isfinite(number) else None
    if negative:
        return None
    if kind == "name" and text in _WORDS:
        return Literal(_WORDS[text]), at + 1
    if kind == "string" and (plain := re.fullmatch(_PLAIN_STRING, text)):
        return Literal(plain[2]), at + 1
    return None


def path_at(found: list[Token], at: int) -> tuple[tuple[Part, ...], int] | None:
    """The path that begins at token `at`, and its end; None if there is none."""
    if at >= len(found) or found[at].kind != "name" or found[at].text in _KEYWORDS:
        return None
    parts: list[Part] = [found[at].text]
    at += 1
    while at + 1 < len(found):
        mark, after = found[at].text, found[at + 1]
        if mark == "." and after.kind == "name" and after.text not in _KEYWORDS:
            parts.append(after.text)
            at += 2
        elif mark == "[" and at + 2 < len(found) and found[at + 2].text == "]":
            index = literal_at(found, at + 1)
            if index is None or isinstance(index[0].value, (bool, float)) or index[0].value is None:
                return None
            parts.append(index[0].value)
            at += 3
        elif mark in (".", "["):
            return None
        else:
            break
    return tuple(parts), at


def write_path(parts: tuple[Part, ...]) -> str:
    """The path as text, in its one canonical form: `data.items[0]['a-b']`."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier() and part.isascii() and part not in _KEYWORDS:
            text += f".{part}" if text else part
        else:
            quote = '"' if "'" in part else "'"
            text += f"[{quote}{part}{quote}]"
    return text
