"""Suggests similar names for the end of an error sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIKE = 0.7  # of 1


def meant(word: str, names: Iterable[str]) -> str:
    """`; did you mean list?`, or nothing if no name is similar."""
    from difflib import get_close_matches

    like = get_close_matches(word, list(names), n=3, cutoff=_LIKE)
    return f"; did you mean {' or '.join(like)}?" if like else ""
