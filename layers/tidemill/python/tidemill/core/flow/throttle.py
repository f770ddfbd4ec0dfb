"""Throttle: one start every period / limit, up to `burst` at once, the rest in order.

*Planned.* One number is stored for each key: `spent`, the time up to which the starts given out so far use up what the
limit allows. Each start moves it on by one interval, so that a single addition tells every caller its own slot, however
many call at once. It is counted in milliseconds times `limit`, where an interval is exactly `period`: three a second
is not 333 ms each, and nothing drifts.

*And bounded.* A plan bounds nothing where runs cannot begin when they were to: after an outage all slots have passed at
once. So a run asks again when it is about to begin (`begin`). It is let go if its turn is now, and the starts of the
last period leave room. A run that has missed its turn gets the next one of a second row of slots, the `chain`; and as
long as that row lasts, those whose turn comes are put at its end, so that the order stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidemill import duration

_PUNCTUAL = 50  # milliseconds after its turn that a run has not missed it, where an interval is shorter
_NOTED = 100  # starts that are noted, where a part of the period tells as much as the whole


class Limit(NamedTuple):
    """What is declared."""

    limit: int
    period: int
    burst: int


class Turn(NamedTuple):
    """When a run may begin. `anew`: it is one of the chain."""

    at: int
    anew: bool = False


class Starts(NamedTuple):
    """What has begun under a key: the latest times, and the last run. `chain`: spent, as the plan's number is."""

    chain: int = 0
    log: tuple[int, ...] = ()
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
    if starts.run == run_id:
        return None, starts._replace(log=(*starts.log[:-1], max(now, *starts.log[-1:])))
    limit, period = declared.limit, declared.period
    missed = now - turn.at > max(_PUNCTUAL, period // limit)
    free = _free(starts.log, now, declared)
    ours = turn.anew and not missed
    if not ours and starts.chain > now * limit:
        spent = starts.chain + period
        return Turn(begins(spent, limit, period, 1), True), starts._replace(chain=spent)
    if free > now:
        return Turn(free, True), starts if ours else starts._replace(chain=free * limit + period)
    chain = now * limit + period if missed else starts.chain
    log = sorted([*starts.log, now])  # clocks differ
    return None, Starts(chain, tuple(log[-_window(declared)[0] :]), run_id)


def _free(log: Sequence[int], now: int, declared: Limit) -> int:
    """When the starts that are noted leave room for another one."""
    count, span = _window(declared)
    return log[-count] + span if len(log) >= count else now


def _window(declared: Limit) -> tuple[int, int]:
    """So many starts in so long a time: the whole period, or a part of it that bounds the whole as well."""
    limit, period, burst = declared
    if burst > 1 or limit <= _NOTED:
        return limit + burst - 1, period
    return _NOTED, -(-period * _NOTED // limit)


def reason(limit: int, period: int, label: str) -> str:
    of = f" of {label!r}" if label else ""
    return f"waits for its turn{of}: {limit} in {duration.text(period)} (throttle)"
