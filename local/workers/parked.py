"""Parked runs, whose suspended code stays in a thread of this worker: see `tidemill.engine.drive.parking`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.parking import Resumed, follows
from tidemill.limits import PARKED
from tidemill_local.workers.keeper import SocketKeeper


@dataclass(slots=True, eq=False)
class _Parked:
    live: LiveRun
    ready: threading.Event = field(default_factory=threading.Event)
    resumed: Resumed | None = None
    keeper: SocketKeeper | None = None


class ParkingLot:
    """A limited number of parked runs; the oldest makes room for a new one."""

    def __init__(self, most: int = PARKED) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, _Parked] = OrderedDict()
        self._closed = False

    def enter(self, live: LiveRun) -> _Parked:
        """Park this run; returns the object to wait on. Call it before the server learns that the run is free."""
        parked = _Parked(live)
        with self._lock:
            old = self._runs.pop(live.head.run_id, None)
            self._runs[live.head.run_id] = parked
            over = self._runs.popitem(last=False)[1] if len(self._runs) > self._most else None
            if self._closed:
                over = self._runs.pop(live.head.run_id, None)
        for each in (old, over):
            if each is not None:
                each.ready.set()
        return parked

    def resume(self, opened: Opened, keeper: SocketKeeper) -> bool:
        """Resume the parked code of this run with the new records. False: no parked code fits them."""
        with self._lock:
            parked = self._runs.pop(opened.head.run_id, None)
        if parked is None:
            return False
        if follows(parked.live, opened):
            parked.resumed, parked.keeper = Resumed(keeper, opened), keeper
        parked.ready.set()
        return parked.resumed is not None

    def close(self) -> None:
        """Drop all of them: newer code takes over."""
        with self._lock:
            self._closed = True
            runs = list(self._runs.values())
            self._runs.clear()
        for parked in runs:
            parked.ready.set()
