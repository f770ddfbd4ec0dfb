"""Throttle: one start every period / limit, up to `burst` at once, the rest in order.

One number is stored for each key: `spent`, the time up to which the starts given out so far use up what the limit
allows. Each start moves it on by one interval, so that a single addition tells every caller its own slot, however
many call at once. It is counted in milliseconds times `limit`, where an interval is exactly `period`: three a second
is not 333 ms each, and nothing drifts.
"""

from __future__ import annotations

from tidemill import duration


def slot(spent: int, now: int, limit: int, period: int, burst: int) -> tuple[int, int]:
    """When this start may begin, and what `spent` becomes."""
    spent = max(spent, now * limit) + period
    return max(now, begins(spent, limit, period, burst)), spent


def begins(spent: int, limit: int, period: int, burst: int) -> int:
    """The start that moved the stored number to `spent` may begin at this time."""
    return -((burst * period - spent) // limit)  # rounded up: never early


def reason(limit: int, period: int, label: str) -> str:
    of = f" of {label!r}" if label else ""
    return f"waits for its turn{of}: {limit} in {duration.text(period)} (throttle)"
