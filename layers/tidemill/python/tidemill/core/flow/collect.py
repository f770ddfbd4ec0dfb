"""Debounce and batch: one run for several events, and when it begins.

The run exists from the first event on, and does not begin before its time (`not_before`); each further event is a
record in its journal. So the journal's next number, which the first claim needs too, decides whether the run still
takes an event: none is lost, and none is in two runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidemill.limits import DEBOUNCE_EVENTS
from tidemill.model import Event


def feature(flow: dict[str, Any]) -> str | None:
    """`debounce`, `batch` or neither."""
    return next((name for name in ("debounce", "batch") if name in flow), None)


def begins(name: str, declared: dict[str, Any], first: int, now: int, count: int) -> int:
    """When a run begins that has collected `count` events since `first`, the last of them now."""
    if name == "batch":
        return now if full(name, declared, count) else max(now, first + int(declared["timeout"]))
    timeout = declared.get("timeout")
    quiet = now + int(declared["period"])
    return quiet if timeout is None else max(now, min(quiet, first + int(timeout)))


def full(name: str, declared: dict[str, Any], count: int) -> bool:
    """Whether the run takes no more events. A debounce always takes more: it only drops earlier ones."""
    return name == "batch" and count >= int(declared["max_size"])


def listed(name: str, event_ids: Sequence[str]) -> tuple[str, ...]:
    """The event ids that a run shows: all of a batch, the latest of a debounce."""
    return tuple(event_ids)[-DEBOUNCE_EVENTS:] if name == "debounce" else tuple(event_ids)


def joined(event: Event) -> int:
    """When the event takes effect: at its receipt, or at its `ts` if that is in the future."""
    return max(event.received_at, event.ts)


def ahead(event: Event, now: int) -> bool:
    """Whether the event is delayed: its `ts` is ahead by more than two clocks may differ."""
    return event.ts > max(now, event.received_at)


def given(events: Sequence[Event], last: bool) -> tuple[Event, ...]:
    """The events that the code receives, in the order in which they took effect, however late their messages came.

    `last`: only the last one.
    """
    ordered = sorted(events, key=joined)
    return tuple(ordered[-1:] if last else ordered)


def reason(name: str, declared: dict[str, Any]) -> str:
    if name == "batch":
        return f"collects up to {declared['max_size']} events for {declared['timeout'] / 1_000:g} s (batch)"
    return f"waits for {declared['period'] / 1_000:g} s of silence (debounce)"
