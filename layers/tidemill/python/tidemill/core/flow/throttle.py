"""Throttle: one start every period / limit, up to `burst` at once, the rest in order.

*Planned.* One number is stored for each key: `spent`, the time up to which the starts given out so far use up what the
limit allows. Each start moves it on by one interval, so that a single addition tells every caller its own slot, however
many call at once. It is counted in milliseconds times `limit`, where an interval is exactly `period`: three a second
is not 333 ms each, and nothing drifts.

*And bounded.* A plan bounds nothing where runs cannot begin when they were to: after an outage all slots have passed at
once. So a run asks again when it is about to begin (`begin`), and what has really begun is counted as the plan is: a
start at a time moves `spent` on from that time. In no window of length w begin more than burst + w * limit / period
runs. Who may not begin yet gets a number, and begins so many intervals after the last start; nobody with a smaller
number is overtaken, and those whose turn comes meanwhile are put behind. Numbers, not times: each late start delays all
who wait, without a write for each.
"""

from __future__ import annotations

from typing import NamedTuple

from tidemill import duration

_PUNCTUAL = 50  # milliseconds after its turn that a run has not missed it, where an interval is shorter


class Limit(NamedTuple):
    """What is declared."""

    limit: int
    period: int
    burst: int


class Turn(NamedTuple):
    """When a run may begin. `number`: among those that were put off; 0: this is the plan's turn."""

    at: int
    number: int = 0


class Starts(NamedTuple):
    """What has begun under a key: `spent`, as the plan's number is, the last number given out, the last that began."""

    spent: int = 0
    given: int = 0
    begun: int = 0
    run: str = ""


def slot(spent: int, now: int, limit: int, period: int, burst: int) -> tuple[int, int]:
    """When this start may begin, and what `spent` becomes."""
    spent = max(spent, now * limit) + period
    return max(now, begins(spent, limit, period, burst)), spent


def begins(spent: int, limit: int, period: int, burst: int) -> int:
    """The start that moved the stored number to `spent` may begin at this time."""
    return -((burst * period - spent) // limit)  # rounded up: never early


def begin(starts: Starts, run_id: str, turn: Turn, now: int, declared: Limit) -> tuple[Turn | None, Starts]:
    """Whether the run may begin now (None), or else at which turn; and what has begun then. Harmless to do twice."""
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
