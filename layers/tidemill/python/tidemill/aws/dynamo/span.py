"""Which part of a list in time is asked for, as sort keys: `<time>#<id>` in the order of time."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.aws.dynamo.keys import fitting, stamp, time_key
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
