"""Parking: keeps the code of a blocked run in memory, so that a wake need not replay it from the top.

Replay makes continuing after a crash the same as after a sleep, and costs a few microseconds a step. After ten thousand
steps it is most of the cost of a wake. So a process may *park* the code of a long run: suspend it as always
(the record is appended, the claim is over, anyone may go on with it) and leave the thread where it stands. If the
run is then claimed for the same process, and its journal has not passed through other hands in between, the code goes
on in that thread with the records that came. If not, the parked code is left as if it had been left at once.

A parked stack is a cache, never the truth: it may be dropped at any moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tidemill.core.journal import Claimed, Record, Resolved
from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.suspend import leave
from tidemill.ports import Keeper


class Resumed(NamedTuple):
    """The run that was parked has been claimed again, for the executor that holds `keeper`."""

    keeper: Keeper
    opened: Opened


Lot = Callable[[LiveRun], Resumed | None]
"""Blocks until the parked run is resumed, or is not to be kept any longer (None)."""


def park(live: LiveRun, lot: Lot) -> bool:
    """Suspend the run where its code stands. True: the code can go on; False: it must be left."""
    if not leave(live):
        return True  # an outsider wrote first: it need not even suspend
    resumed = lot(live)
    if resumed is None or not _go_on(live, resumed):
        live.leave("superseded")
        return False
    return True


def follows(live: LiveRun, opened: Opened) -> bool:
    """Whether the journal has passed through no other hands since: outsiders' records, and then this claim."""
    since = _since(live, opened)
    return bool(since) and isinstance(since[-1], Claimed) and all(isinstance(r, Resolved) for r in since[:-1])


def _since(live: LiveRun, opened: Opened) -> list[Record]:
    """What has come since the code was parked; nothing where that cannot be told."""
    known = live.state.seq + 1 - opened.base
    return opened.records[known:] if known >= 0 else []


def _go_on(live: LiveRun, resumed: Resumed) -> bool:
    opened = resumed.opened
    live.keeper, live.head, live.spec = resumed.keeper, opened.head, opened.spec
    live.state.add(_since(live, opened))
    live.weight = 0
    return live.state.terminal is None
