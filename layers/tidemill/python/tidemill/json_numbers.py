"""Numbers that JSON allows and no store can keep: integers of more than 64 bits, and others beyond a double.

Decoders treat such a number differently (an error without a place, infinity, a refusal to read so many digits). So
this module searches the JSON text itself.
"""

from __future__ import annotations

import math
import re

SENTENCE = "this number is too large (whole ones have at most 64 bits, others lie below 1.8e308); send it as text"
TOO_LARGE = 1 << 64  # replaces such a number in a value that is read only to be refused

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_DIGITS = 20  # digits and a sign: no integer of 64 bits has more
_SHOWN = 40  # characters of a number that is quoted


def fits(number: int) -> bool:
    """Whether a store can keep this whole number."""
    return -(1 << 63) <= number < 1 << 64


def whole(text: str) -> int:
    """For `parse_int` of the standard library's decoder."""
    number = int(text) if len(text) <= _DIGITS + 1 else TOO_LARGE
    return number if fits(number) else TOO_LARGE


def real(text: str) -> float:
    """For `parse_float` of the standard library's decoder."""
    number = float(text)
    return TOO_LARGE if math.isinf(number) else number


def first(text: str) -> tuple[int, str] | None:
    """The position of the first such number in a JSON text, and its first digits."""
    for found in _WORD.finditer(text):
        word = found[0]
        if not word.startswith('"') and _too_large(word):
            return found.start(), word if len(word) <= _SHOWN else word[:_SHOWN] + "..."
    return None


def _too_large(word: str) -> bool:
    read = whole if word.removeprefix("-").isdigit() else real
    return read(word) == TOO_LARGE
