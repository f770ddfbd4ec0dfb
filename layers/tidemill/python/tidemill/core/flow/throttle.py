"""Throttle: one start every period / limit, up to `burst` at once, the rest in order.

*Planned.* One number is stored for each key: `spent`, the time up to which the starts given out so far use up what the
limit allows. Each start advances it by one interval, so that a single addition gives every caller its own slot, however
many call at once. It is counted in milliseconds times `limit`, where an interval is exactly `period`: three a second
is not 333 ms each, and nothing drifts.

*Bounded.* A plan bounds nothing when runs cannot begin on time: after an outage all slots have passed at once. So a run
asks again when it is about to begin (`begin`), and real starts are counted like planned ones: a start at a time
advances `spent` from that time. At most burst + w * limit / period runs begin in any window of length w. A run that may
not begin yet gets a number, and begins that many intervals after the last start; it overtakes no smaller number, and
runs whose turn comes meanwhile go behind it. Numbers instead of times: each late start delays all waiting runs, without
a write for each.
"""

from __future__ import annotations

from typing import NamedTuple

from tidemill import duration

_PUNCTUAL = 50  # milliseconds after its turn within which a run keeps it, if an interval is shorter


class Limit(NamedTuple):
    """The declared throttle."""

    limit: int
    period: int
    burst: int


class Turn(NamedTuple):
    """When a run may begin. `number`: among the delayed runs; 0: this is the planned turn."""

    at: int
    number: int = 0


class Starts(NamedTuple):
    """The starts under a key: `spent`, like the plan's number; the last number given out; the last that began."""

    spent: int = 0
    given: int = 0
    begun: int = 0
    run: str = ""


def slot(spent: int, now: int, limit: int, period: int, burst: int) -> tuple[int, int]:
    """When this start may begin, and the new `spent`."""
    spent = max(spent, now * limit) + period
    return max(now, begins(spent, limit, period, burst)), spent


def begins(spent: int, limit: int, period: int, burst: int) -> int:
    """The start that moved the stored number to `spent` may begin at this time."""
    return -((burst * period - spent) // limit)  # rounded up: never early


def begin(starts: Starts, run_id: str, turn: Turn, now: int, declared: Limit) -> tuple[Turn | None, Starts]:
    """None if the run may begin now, else its turn; and the new `Starts`. Harmless to do twice."""
    limit, period, burst = declared
    if starts.run == run_id:
        return None, starts._replace(spent=max(starts.spent, now * limit + period))
    number = turn.number if _keeps(starts, turn, now, declared) else max(starts.given, starts.begun) + 1
    ahead = max(1, number - starts.begun)
    at = begins(starts.spent + ahead * period, limit, period, burst)
    given = max(starts.given, number)
    if at > now:
        return Turn(at, number), starts._replace(given=given)
    since = starts.spent + (ahead - burst) * period if at == now else now * limit  # on time: nothing is rounded
    return None, Starts(max(starts.spent, since) + period, given, max(starts.begun, number), run_id)


def _keeps(starts: Starts, turn: Turn, now: int, declared: Limit) -> bool:
    """Whether the run keeps its number: it has one, and was not late while another one went first."""
    late = now - turn.at > max(_PUNCTUAL, declared.period // declared.limit)
    return turn.number > 0 and (turn.number > starts.begun or not late)


def reason(limit: int, period: int, label: str) -> str:
    of = f" of {label!r}" if label else ""
    return f"waits for its turn{of}: {limit} in {duration.text(period)} (throttle)"
