"""Builds the pages of lists row by row: a server can serve others in between, and a page fits a Lambda's answer.

A row that cannot be read is named under `damaged`; the other rows are shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from tidemill.core.view.values import View
from tidemill.errors import JournalError
from tidemill.limits import ANSWER_BYTES, KIB, VALUE_INLINE
from tidemill.ports import Damaged, Page
from tidemill_lambdas.http import Response, raw
from tidemill_lambdas.work import Work

DAMAGE = (JournalError, msgspec.MsgspecError, ValueError, LookupError, TypeError)
INLINES = (VALUE_INLINE, KIB, 0)  # the largest inline values; smaller limits are tried if the whole is too large

Key = tuple[int, str]  # where a cursor continues: the row's creation time and id

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


class Rows:
    """The rows of an answer, encoded."""

    def __init__(self) -> None:
        self.bytes = KIB  # bytes for the text around the rows
        self._rows: list[bytes] = []
        self._damaged: list[dict[str, str]] = []

    def add(self, key: Key, view: Callable[[], View]) -> bool:
        """False: the row does not fit."""
        try:
            row = _encode(view())
        except DAMAGE as error:
            self.name(key, f"this row cannot be read: {error}")
            return True
        if self._rows and self.bytes + len(row) + 1 > ANSWER_BYTES:
            return False
        self._rows.append(row)
        self.bytes += len(row) + 1
        return True

    def name(self, key: Key, problem: str) -> None:
        self._damaged.append({"id": key[1], "error": problem})
        self.bytes += KIB

    def response(self, cursor: str | None) -> Response:
        damaged = b',"damaged":' + _encode(self._damaged) if self._damaged else b""
        return raw(200, b'{"data":[%b],"cursor":%b%b}' % (b",".join(self._rows), _encode(cursor), damaged))


def page(
    found: Page[_T],
    limit: int,
    view: Callable[[_T], View],
    key_of: Callable[[_T], Key],
    cursor: Callable[[Key], str],
) -> Work:
    """The first rows that were `found`: at most `limit`, at least one, as many as fit into one answer.

    `found` has one row more than `limit` if there is one; `cursor` makes the cursor of the next page.
    """
    rows = Rows()
    last: Key | None = None
    for count, entry in enumerate(entries(found, found.damaged)):
        if count == limit:
            break
        if isinstance(entry, Damaged):
            last = (entry.at, entry.id)
            rows.name(last, entry.problem)
        elif rows.add(key_of(entry), partial(view, entry)):
            last = key_of(entry)
        else:
            break
        yield
    else:
        if not found.cut:
            return rows.response(None)
    return rows.response(cursor(last) if last is not None else None)


def entries(found: Sequence[_T], damaged: Sequence[Damaged]) -> Iterator[_T | Damaged]:
    """The rows and the damaged ones, in the list's order."""
    named = deque(damaged)
    for index, row in enumerate(found):
        while named and named[0].before <= index:
            yield named.popleft()
        yield row
    yield from named


def shrunk(view: Callable[[int], Any]) -> bytes:
    """The first view that fits into one answer, encoded. Its parameter is the largest inline value."""
    body = b""
    for inline in INLINES:
        body = _encode({"data": view(inline)})
        if len(body) <= ANSWER_BYTES:
            break
    return body
