"""Where a simulated cloud keeps what it knows: SQLite, which is fast, or the adapters of AWS over moto's tables."""

from __future__ import annotations

from typing import Protocol

from tidemill.ports import Blobs, EventStore, FlowStore, RunStore, WaitStore
from tidemill.warm import Warm
from tidemill_local.store.database import MEMORY, Database


class Stores(Protocol):
    """The ports without faults, and what the invariants ask besides."""

    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs
    flow: FlowStore

    def next_due(self) -> int | None: ...

    def all_runs(self) -> list[str]:
        """The ids of all runs, parts of maps included."""
        ...

    def waits_left(self) -> list[tuple[str, str]]:
        """Run and step of every wait."""
        ...

    def in_line(self) -> list[str]:
        """The runs that stand in a line."""
        ...

    def places_held(self) -> list[tuple[str, str, int]]:
        """Key, run, and until when its holder may keep it unheard of."""
        ...

    def lines(self) -> dict[str, list[str]]:
        """By key, the functions of those who stand in line, the first of them first."""
        ...

    def close(self) -> None: ...


class InSqlite:
    def __init__(self) -> None:
        self.db = Database(MEMORY, warm=Warm(least=0))  # the journals here are short
        self.runs = self.db.runs
        self.events = self.db.events
        self.waits = self.db.waits
        self.blobs = self.db.blobs
        self.flow = self.db.flow
        self.close = self.db.close

    def next_due(self) -> int | None:
        return min((at for at in (self.runs.next_due(), self.events.next_due()) if at is not None), default=None)

    def all_runs(self) -> list[str]:
        return [row[0] for row in self.db.rows("SELECT run_id FROM run ORDER BY n")]

    def waits_left(self) -> list[tuple[str, str]]:
        return [(run_id, key) for run_id, key in self.db.rows("SELECT run_id, key FROM wait")]

    def lines(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for key, function_id in self.db.rows("SELECT key, function_id FROM line ORDER BY key, rank, n"):
            found.setdefault(key, []).append(function_id)
        return found

    def in_line(self) -> list[str]:
        return [row[0] for row in self.db.rows("SELECT run_id FROM line")]

    def places_held(self) -> list[tuple[str, str, int]]:
        return [(key, run_id, until) for key, run_id, until in self.db.rows("SELECT key, run_id, until FROM place")]
