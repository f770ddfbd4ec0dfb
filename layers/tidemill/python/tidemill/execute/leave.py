"""The record by which an executor leaves a run that has not ended: suspended, or handed over."""

from __future__ import annotations

from tidemill.core import snapshot
from tidemill.core.journal import HandedOver, Suspended
from tidemill.core.look import bounded
from tidemill.core.state import suspended_status
from tidemill.execute.coverage import untold
from tidemill.execute.live import LiveRun
from tidemill.limits import RECHECK, SNAPSHOT_BYTES
from tidemill.model import HeadChange


def leave(live: LiveRun) -> bool:
    """Record that the code can go no further for now, and why. False: outsiders wrote first, so look again."""
    now = live.clock.now()
    blocked = tuple(live.blocked.values())
    if live.leaving != "handed over" and any(b.key in live.state.resolved for b in blocked):
        return False  # what a branch waited for came while another one, the last at work, was appending
    ties = True if live.head.ties else None
    if live.leaving == "handed over":
        return live.offer(
            [HandedOver(now, blocked, untold(live))], HeadChange("running", bounded(live.head, now), ties=ties)
        )
    ends = [b.until for b in blocked if b.until is not None]
    due = min(ends) if ends else None
    change = HeadChange(
        suspended_status(blocked),
        bounded(live.head, due if due is not None else now + RECHECK),
        snapshot=_snapshot(live),
        ties=ties,
    )
    return live.offer([Suspended(now, due, blocked)], change)


def _snapshot(live: LiveRun) -> int | None:
    """Keep a snapshot where the journal has grown by enough since the last one; its number.

    Enough is also half of what the last one holds: so all snapshots of a run together are as large as a few times its
    last one, and what a wake-up reads besides is at most half of that.
    """
    since = live.head.snapshot if live.head.snapshot is not None else -1
    grown = live.state.seq - since >= max(live.snapshot_every, since // 2)
    if not grown and live.weight < max(SNAPSHOT_BYTES, live.restored // 2):
        return None
    data = snapshot.encode(live.state)
    live.ask(live.keeper.snapshot, live.head, live.state.seq, data)
    live.restored = len(data)
    return live.state.seq
