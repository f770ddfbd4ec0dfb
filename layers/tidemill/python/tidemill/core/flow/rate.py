"""Rate limit: at most `limit` starts in any `period`. The window slides: it is counted back from now, exactly."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill import duration


def recent(starts: Sequence[int], now: int, period: int) -> list[int]:
    """The starts that still count. A start exactly one period ago no longer counts."""
    return [at for at in starts if at > now - period]


def admits(starts: Sequence[int], now: int, limit: int, period: int) -> bool:
    return len(recent(starts, now, period)) < limit


def reason(limit: int, period: int, label: str) -> str:
    of = f" for {label!r}" if label else ""
    return f"over the rate limit{of}: {limit} in {duration.text(period)}"
