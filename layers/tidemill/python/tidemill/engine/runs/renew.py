"""Renews the records of open runs, in a store in which records expire.

A record lives for RECORD_LIFE from when it was written, or from the time for which the run was due then. That is
free, and enough for a run of a week. A longer run is renewed: a check, a suspension or an end which
finds that an item would expire too soon gives all of its items a later time. So a run costs one write per record in
about two months, and none if it ends before. The reasons are in docs/decisions, "Open runs are renewed".
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
    """Renew the run if something of it might expire before its next check, at `due`."""
    now = world.clock.now()
    if head.kept is not None and max(due, now) + RENEW_BEFORE > min(head.kept, _latest(now)):
        _renew(world, head, max(due, now) + RECORD_LIFE, load(world, head).begun if head.needs_cleanup else NONE)


def at_end(world: World, head: Head, ended_at: int) -> None:
    """Renew the records that are shown after the run's end."""
    if head.kept is not None and ended_at + RUN_RETENTION > head.kept:
        _renew(world, head, ended_at + RECORD_LIFE, NONE)


def changed(head: Head, change: HeadChange, now: int) -> HeadChange:
    """The head's change, which also notes that recent records expire before those that were renewed."""
    if head.kept is None or head.kept <= now + RECORD_LIFE:
        return change
    return replace(change, kept=_latest(now))


def _latest(now: int) -> int:
    """No record of this claim's executor expires before this: it began less than a day ago."""
    return now + RECORD_LIFE - DAY


def _renew(world: World, head: Head, until: int, maps: Mapping[str, int]) -> None:
    """Renew the run, and its ended chunks, which are needed until the run has collected them."""
    for key, parts in maps.items():
        for number in range(parts):
            world.runs.renew(chunk_id(head.run_id, key, number), until)
    world.runs.renew(head.run_id, until)
    head.kept = until
