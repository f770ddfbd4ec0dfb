"""Leaves a run that has not ended: appends the record, suspended or handed over."""

from __future__ import annotations

from itertools import islice

from tidemill.core import snapshot
from tidemill.core.journal import Blocked, HandedOver, Suspended
from tidemill.core.next_action import bounded
from tidemill.core.state import suspended_status
from tidemill.core.step_keys import is_handed
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.trace.coverage import untold
from tidemill.limits import RECHECK, SNAPSHOT_BYTES
from tidemill.model import HeadChange


def leave(live: LiveRun) -> bool:
    """Record that the code can go no further now, and why. False: outsiders wrote first, so decide again."""
    now = live.clock.now()
    blocked = tuple(live.blocked.values())
    if live.leaving != "handed over" and any(b.key in live.state.resolved for b in blocked):
        return False  # a branch was resolved while the last executing one was appending
    needs_cleanup = True if live.head.needs_cleanup else None
    if live.leaving == "handed over":
        left = HandedOver(now, _new(live), untold(live))
        return live.offer([left], HeadChange("running", bounded(live.head, now), needs_cleanup=needs_cleanup))
    ends = [b.until for b in blocked if b.until is not None]
    due = min(ends) if ends else None
    change = HeadChange(
        suspended_status(blocked),
        bounded(live.head, due if due is not None else now + RECHECK),
        snapshot=_snapshot(live),
        needs_cleanup=needs_cleanup,
    )
    return live.offer([_suspended(live, now, due, whole=change.snapshot is not None)], change)


def _suspended(live: LiveRun, now: int, due: int | None, *, whole: bool) -> Suspended:
    """The blocked steps that the journal does not know yet, so that many branches are not repeated at each suspension.

    After a snapshot the record has all of them, since the tail of the journal begins with it. It always has the step of
    the due time, from which the queue knows how punctual it must be.
    """
    if whole or not live.state.blocked:
        return Suspended(now, due, tuple(live.blocked.values()))
    new = _new(live)
    at_due = (b for b in live.blocked.values() if b.until == due and not is_handed(b.key))
    timely = tuple(islice(at_due, 1)) if due is not None else ()
    gone = tuple(key for key in live.state.blocked if key not in live.blocked)
    return Suspended(now, due, new + tuple(b for b in timely if b not in new), True, gone)


def _new(live: LiveRun) -> tuple[Blocked, ...]:
    return tuple(b for b in live.blocked.values() if live.state.blocked.get(b.key) != b)


def _snapshot(live: LiveRun) -> int | None:
    """Store a snapshot if the journal has grown enough since the last one; returns its number.

    Enough is also as much as the last one holds: so all snapshots of a run together are at most twice as large as its
    last one, and a wake-up reads at most as many records besides.
    """
    since = live.head.snapshot if live.head.snapshot is not None else -1
    grown = live.state.seq - since >= max(live.snapshot_every, since)
    if not grown and live.weight < max(SNAPSHOT_BYTES, live.restored):
        return None
    data = snapshot.encode(live.state)
    live.ask(live.keeper.snapshot, live.head, live.state.seq, data)
    live.restored = len(data)
    return live.state.seq
