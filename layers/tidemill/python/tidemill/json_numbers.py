"""Numbers that JSON may hold and nobody can keep: whole ones of more than 64 bits, others beyond a double.

Decoders differ in what they make of such a number (an error that gives no place, infinity, a refusal to read so many
digits). So where a text may hold one, it is looked for in the text.
"""

from __future__ import annotations

import math
import re

SENTENCE = "this number is too large (whole ones have at most 64 bits, others lie below 1.8e308); send it as text"
TOO_LARGE = 1 << 64  # stands for such a number in a value that is looked at to be refused

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_DIGITS = 20  # and a sign: no whole number of 64 bits has more
_SHOWN = 40  # characters of a number that is quoted


def whole(text: str) -> int:
    """For `parse_int` of the standard library's decoder."""
    number = int(text) if len(text) <= _DIGITS + 1 else TOO_LARGE
    return number if -(1 << 63) <= number < 1 << 64 else TOO_LARGE


def real(text: str) -> float:
    """For `parse_float` of the standard library's decoder."""
    number = float(text)
    return TOO_LARGE if math.isinf(number) else number


def first(text: str) -> tuple[int, str] | None:
    """Where the first such number stands in a text that is JSON, and how it begins."""
    for found in _WORD.finditer(text):
        word = found[0]
        if not word.startswith('"') and _too_large(word):
            return found.start(), word if len(word) <= _SHOWN else word[:_SHOWN] + "..."
    return None


def _too_large(word: str) -> bool:
    read = whole if word.removeprefix("-").isdigit() else real
    return read(word) == TOO_LARGE
