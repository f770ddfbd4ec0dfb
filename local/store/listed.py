"""Makes a page of a list from rows of a table: at most what fits; a damaged row does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from tidemill.errors import JournalError
from tidemill.limits import ANSWER_BYTES
from tidemill.ports import Damaged, EventQuery, Page, RunQuery

T = TypeVar("T")

Condition = tuple[str, tuple[Any, ...]]  # of a WHERE, and its values

DAMAGE = (JournalError, msgspec.MsgspecError, ValueError, TypeError)


def span(query: RunQuery | EventQuery, at: str, tie: str, last: str) -> tuple[list[Condition], str]:
    """Which part of the list is asked for, and its ORDER BY. `at` is the column of its times, `tie` puts those of one
    time in order, `last` is the tie of the row with which the page before ended."""
    found: list[Condition] = []
    if query.after is not None:
        found.append((f"{at} > ?", (query.after,)))
    if query.before is not None:
        found.append((f"{at} < ?", (query.before,)))
    if query.cursor is not None:
        found.append((f"({at}, {tie}) {'>' if query.oldest else '<'} (?, {last})", query.cursor))
    way = "ASC" if query.oldest else "DESC"
    return found, f"ORDER BY {at} {way}, {tie} {way}"


def paged(
    rows: Iterable[tuple[Any, ...]],
    decode: Callable[[tuple[Any, ...]], T],
    key: Callable[[tuple[Any, ...]], tuple[int, str]],
    size: Callable[[tuple[Any, ...]], int] = lambda _: 0,
) -> Page[T]:
    """`key` and `size` need no decoding: rows beyond ANSWER_BYTES are not decoded."""
    found: list[T] = []
    damaged: list[Damaged] = []
    total = 0
    for row in rows:
        if total > ANSWER_BYTES:
            return Page(found, damaged, cut=True)
        total += size(row)
        try:
            found.append(decode(row))
        except DAMAGE as error:
            damaged.append(Damaged(len(found), *key(row), f"this row cannot be read: {error}"))
    return Page(found, damaged)
