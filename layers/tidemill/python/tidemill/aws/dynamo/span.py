"""Which part of a list in time is asked for, as sort keys: `<time>#<id>` in the order of time. A list is in several
partitions, which are read as one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tidemill.aws.dynamo.keys import SK, Index, fitting, stamp, time_key
from tidemill.aws.dynamo.table import Item, Table
from tidemill.ports import EventQuery, RunQuery

_END = "~"  # sorts after every time


@dataclass(frozen=True)
class Span:
    """From `low` to `high`, both included but for `last`, the row that the page before ended with."""

    low: str
    high: str
    last: str
    newest_first: bool

    @property
    def empty(self) -> bool:
        return self.low > self.high

    def holds(self, key: str) -> bool:
        return self.low <= key <= self.high and key != self.last


def span(query: RunQuery | EventQuery) -> Span:
    low = stamp(query.after + 1 if query.after is not None else 0)
    high = stamp(query.before) if query.before is not None else _END  # a key of that time is longer, and so behind it
    last = time_key(query.cursor[0], fitting(query.cursor[1])) if query.cursor is not None else ""
    if last and query.oldest:
        low = max(low, last)
    elif last:
        high = min(high, last)
    return Span(low, high, last, not query.oldest)


def in_order(
    table: Table, partitions: Iterable[str], part: Span, page: int, index: Index | None = None
) -> Iterator[Item]:
    """The items of this part in all these partitions, in one order. `page`: so many are read at a time."""
    if part.empty:
        return iter(())
    sk = SK if index is None else index.sk
    found = [
        table.query(pk, low=part.low, high=part.high, index=index, newest_first=part.newest_first, page=page)
        for pk in partitions
    ]
    merged = heapq.merge(*found, key=lambda item: str(item[sk]), reverse=part.newest_first)
    return (item for item in merged if item[sk] != part.last)
