"""The stores of a Mill: runs, events, waits and blobs, and queries beyond the ports.

In memory it is the dev server's SQLite; with `backend="moto"` the real AWS adapters (see `moto`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tidemill.ports import Blobs, EventStore, FlowStore, Pauses, RunStore, WaitStore
from tidemill.run_logs import LogLine, Logs
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.testing.bus import Bus

_PAGE = 1_000


class KeepsLogs(Logs, Protocol):
    def keep(self, line: LogLine) -> None: ...


class Stores(Protocol):
    @property
    def runs(self) -> RunStore: ...

    @property
    def events(self) -> EventStore: ...

    @property
    def waits(self) -> WaitStore: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def flow(self) -> FlowStore: ...

    @property
    def logs(self) -> KeepsLogs: ...

    @property
    def pauses(self) -> Pauses: ...

    @property
    def bus(self) -> Bus: ...

    def next_due(self) -> int | None:
        """When the next open run, or delayed event, is due."""
        ...

    def due(self, now: int) -> list[tuple[str, str]]:
        """Open runs that are due by now, the most overdue first: (run_id, function_id). Not all of them, if many."""
        ...

    def held(self, function_id: str) -> Iterable[str]:
        """The ids of a function's open runs that something holds, oldest first."""
        ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class InMemory:
    """SQLite without a file."""

    def __init__(self) -> None:
        self.db = Database(MEMORY)
        self.runs = self.db.runs
        self.events = self.db.events
        self.waits = self.db.waits
        self.blobs = self.db.blobs
        self.flow = self.db.flow
        self.logs = self.db.logs
        self.pauses = self.db.pauses
        self.bus = Bus()
        self.held = self.db.runs.held
        self.commit = self.db.commit
        self.close = self.db.close

    def next_due(self) -> int | None:
        return min((at for at in (self.runs.next_due(), self.events.next_due()) if at is not None), default=None)

    def due(self, now: int) -> list[tuple[str, str]]:
        return [(head.run_id, head.function_id) for head in self.runs.overdue(now, _PAGE)]
