"""The record by which an executor leaves a run that has not ended: suspended, or handed over."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.core import snapshot
from tidemill.core.journal import Blocked, HandedOver, Suspended
from tidemill.core.look import bounded
from tidemill.core.state import suspended_status
from tidemill.execute.coverage import untold
from tidemill.execute.live import LiveRun
from tidemill.limits import RECHECK, SNAPSHOT_BEFORE, SNAPSHOT_BYTES
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
        snapshot=_snapshot(live, _lasting(blocked, now)),
        ties=ties,
    )
    return live.offer([Suspended(now, due, blocked)], change)


def _lasting(blocked: Sequence[Blocked], now: int) -> bool:
    """Whether this may last so long that a store that lets old records expire has let these."""
    return any(b.until is None or b.until - now > SNAPSHOT_BEFORE for b in blocked)


def _snapshot(live: LiveRun, lasting: bool) -> int | None:
    """Keep a snapshot, before a long time or where the journal has grown by enough since the last one; its number."""
    since = live.head.snapshot if live.head.snapshot is not None else -1
    if not lasting and live.state.seq - since < live.snapshot_every and live.weight < SNAPSHOT_BYTES:
        return None
    live.ask(live.keeper.snapshot, live.head, live.state.seq, snapshot.encode(live.state))
    return live.state.seq
