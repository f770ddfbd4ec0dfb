"""Where a simulated cloud keeps what it knows: SQLite, which is fast, or the adapters of AWS over moto's tables."""

from __future__ import annotations

from typing import Protocol

from tidemill.ports import Blobs, EventStore, RunStore, WaitStore
from tidemill_local.store.database import MEMORY, Database


class Stores(Protocol):
    """The ports without faults, and what the invariants ask besides."""

    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs

    def next_due(self) -> int | None: ...

    def all_runs(self) -> list[str]:
        """The ids of all runs, parts of maps included."""
        ...

    def waits_left(self) -> list[tuple[str, str]]:
        """Run and step of every wait."""
        ...

    def close(self) -> None: ...


class InSqlite:
    def __init__(self) -> None:
        self._db = Database(MEMORY)
        self.runs = self._db.runs
        self.events = self._db.events
        self.waits = self._db.waits
        self.blobs = self._db.blobs
        self.next_due = self._db.runs.next_due
        self.close = self._db.close

    def all_runs(self) -> list[str]:
        return [row[0] for row in self._db.rows("SELECT run_id FROM run ORDER BY n")]

    def waits_left(self) -> list[tuple[str, str]]:
        return [(run_id, key) for run_id, key in self._db.rows("SELECT run_id, key FROM wait")]
