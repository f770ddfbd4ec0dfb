"""Makes a page of a list from rows of a table: at most what fits; a damaged row does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidemill.errors import JournalError
from tidemill.limits import ANSWER_BYTES
from tidemill.ports import Damaged, EventQuery, Page, RunQuery

if TYPE_CHECKING:
    from tidemill_local.store.database import Value

T = TypeVar("T")

DAMAGE = (JournalError, msgspec.MsgspecError, ValueError, TypeError)


def span(
    query: RunQuery | EventQuery, at: str, tie: str, last: str, where: list[str], values: list[Value]
) -> tuple[str, str, list[Value]]:
    """The part of the list that is asked for: its conditions after those of `where`, its ORDER BY, and its values.
    `at` is the column of its times, `tie` puts those of one time in order, `last` is the tie of the row with which the
    page before ended."""
    where, values = [*where], [*values]
    if query.after is not None:
        where.append(f"{at} > ?")
        values.append(query.after)
    if query.before is not None:
        where.append(f"{at} < ?")
        values.append(query.before)
    if query.cursor is not None:
        where.append(f"({at}, {tie}) {'>' if query.oldest else '<'} (?, {last})")
        values += query.cursor
    way = "ASC" if query.oldest else "DESC"
    return " AND ".join(where), f"ORDER BY {at} {way}, {tie} {way}", values


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
