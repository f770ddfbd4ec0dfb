"""Nothing that an open run needs expires, in a store that lets records expire.

A record lives for RECORD_LIFE from when it was written, or from the time for which the run was due then. That is
free, and enough for a run of a week. A longer run is renewed: whoever looks at it, suspends it or ends it, and finds
that an item would expire too soon, gives all of its items a later time. So a run pays one write for each record in
about two months, and none where it ends before. The reasons are in docs/decisions, "Open runs are renewed".
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tidemill.engine.runs.ids import chunk_id
from tidemill.engine.runs.load import load
from tidemill.limits import DAY, RECORD_LIFE, RENEW_BEFORE, RUN_RETENTION
from tidemill.model import Head, HeadChange
from tidemill.ports import World

NONE: Mapping[str, int] = {}


def before(world: World, head: Head, due: int) -> None:
    """Renew the run if something of it might expire before it is looked at again, at `due`."""
    now = world.clock.now()
    if head.kept is not None and max(due, now) + RENEW_BEFORE > min(head.kept, _latest(now)):
        _renew(world, head, max(due, now) + RECORD_LIFE, load(world, head).begun if head.needs_cleanup else NONE)


def at_end(world: World, head: Head, ended_at: int) -> None:
    """Renew what is to be shown for a while after the run's end."""
    if head.kept is not None and ended_at + RUN_RETENTION > head.kept:
        _renew(world, head, ended_at + RECORD_LIFE, NONE)


def changed(head: Head, change: HeadChange, now: int) -> HeadChange:
    """The change, and that what was written of late does not live as long as what was renewed far ahead."""
    if head.kept is None or head.kept <= now + RECORD_LIFE:
        return change
    return replace(change, kept=_latest(now))


def _latest(now: int) -> int:
    """Before this no record expires that the executor of this claim has written: it began less than a day ago."""
    return now + RECORD_LIFE - DAY


def _renew(world: World, head: Head, until: int, maps: Mapping[str, int]) -> None:
    """The parts of a map that have ended are needed until the run has gathered them."""
    for key, parts in maps.items():
        for number in range(parts):
            world.runs.renew(chunk_id(head.run_id, key, number), until)
    world.runs.renew(head.run_id, until)
    head.kept = until
