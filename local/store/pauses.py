"""The store of paused functions, and of the runs that wait until they are resumed, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from tidemill.model import Pause

if TYPE_CHECKING:
    from tidemill_local.store.database import Database

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pause).decode

# From one function to the next in the index: SELECT DISTINCT would read every run of a function that is paused.
_RESUMED = """
WITH RECURSIVE noted (function_id) AS (
    SELECT min(function_id) FROM paused_run
    UNION ALL SELECT (SELECT min(function_id) FROM paused_run AS later WHERE later.function_id > noted.function_id)
    FROM noted WHERE function_id IS NOT NULL
)
SELECT function_id FROM noted WHERE function_id IS NOT NULL AND function_id NOT IN (SELECT function_id FROM pause)
"""


class SqlitePauses:
    """The port `Pauses`. `changed` is told of each change of what is paused, with the ids of the paused functions."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, Pause] | None = None
        self.changed: Callable[[list[str]], object] = lambda _: None

    def of(self, function_id: str) -> Pause | None:
        return self._all().get(function_id)

    def all(self) -> dict[str, Pause]:
        return dict(self._all())

    def pause(self, function_id: str, pause: Pause) -> None:
        self._db.write("INSERT OR REPLACE INTO pause VALUES (?, ?)", (function_id, _encode(pause)))
        self._change()

    def resume(self, function_id: str) -> None:
        self._db.write("DELETE FROM pause WHERE function_id = ?", (function_id,))
        self._change()

    def hold(self, function_id: str, run_id: str, created_at: int) -> None:
        sql = "INSERT INTO paused_run VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        self._db.write(sql, (function_id, created_at, run_id))

    def held(self, function_id: str, limit: int) -> list[tuple[int, str]]:
        sql = "SELECT created_at, run_id FROM paused_run WHERE function_id = ? ORDER BY created_at, run_id LIMIT ?"
        return [(row[0], row[1]) for row in self._db.rows(sql, (function_id, limit))]

    def release(self, function_id: str, runs: Iterable[tuple[int, str]]) -> None:
        for created_at, run_id in runs:
            sql = "DELETE FROM paused_run WHERE function_id = ? AND created_at = ? AND run_id = ?"
            self._db.write(sql, (function_id, created_at, run_id))

    def resumed(self) -> list[str]:
        return [row[0] for row in self._db.rows(_RESUMED)]

    def swap_tick(self, function_id: str, tick: str, at: int, run_id: str) -> str | None:
        row = self._db.row("SELECT at, run_id FROM paused_tick WHERE function_id = ? AND tick = ?", (function_id, tick))
        if row is not None and row[0] > at:
            return run_id
        self._db.write("INSERT OR REPLACE INTO paused_tick VALUES (?, ?, ?, ?)", (function_id, tick, at, run_id))
        return row[1] if row is not None and row[1] != run_id else None

    def forget(self) -> None:
        """A transaction was rolled back."""
        self._known = None

    def _all(self) -> dict[str, Pause]:
        if self._known is None:
            self._known = {row[0]: _decode(row[1]) for row in self._db.rows("SELECT function_id, data FROM pause")}
        return self._known

    def _change(self) -> None:
        self._known = None
        self.changed(list(self._all()))
