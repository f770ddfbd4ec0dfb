"""The wait store on SQLite: finds waits by the event's name, a path in it and the hash of the value there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidemill.model import Wait

if TYPE_CHECKING:
    from tidemill_local.store.database import Database

_REMEMBERED = 4_096  # names without waits

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Wait).decode

_KEY = "name = ? AND path = ? AND hash = ?"
_PAGE = (
    f"SELECT data, run_id, key, label FROM wait WHERE {_KEY} AND (run_id, key) > (?, ?) "  # noqa: S608  (constants)
    "ORDER BY run_id, key, label LIMIT ?"
)
_REST = f"SELECT data FROM wait WHERE {_KEY} AND run_id = ? AND key = ? AND label > ? ORDER BY label"  # noqa: S608


class SqliteWaits:
    """The port `WaitStore`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._unawaited: set[str] = set()  # names known to have no waits

    def put(self, wait: Wait) -> None:
        self._unawaited.discard(wait.name)
        condition = wait.condition
        self._db.write(
            "INSERT OR REPLACE INTO wait VALUES (?, ?, ?, ?, ?, ?, ?)",
            (wait.name, condition.path or "", condition.hash, wait.run_id, wait.key, wait.label, _encode(wait)),
        )

    def drop(self, run_id: str, key: str | None = None) -> None:
        if key is None:
            self._db.write("DELETE FROM wait WHERE run_id = ?", (run_id,))
        else:
            self._db.write("DELETE FROM wait WHERE run_id = ? AND key = ?", (run_id, key))

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page may be longer than `limit`: the labels of one step stay together, because `after` cannot separate
        them."""
        under = (name, path or "", hash_)
        rows = self._db.rows(_PAGE, (*under, *(after or ("", "")), limit))
        found = [_decode(row[0]) for row in rows]
        if len(rows) == limit:
            found += [_decode(row[0]) for row in self._db.rows(_REST, (*under, *rows[-1][1:]))]
        return found

    def awaited(self, name: str) -> bool:
        if name in self._unawaited:
            return False
        if self._db.row("SELECT 1 FROM wait WHERE name = ? LIMIT 1", (name,)) is not None:
            return True
        if len(self._unawaited) >= _REMEMBERED:
            self._unawaited.clear()
        self._unawaited.add(name)
        return False

    def forget(self) -> None:
        """After a rollback: waits dropped in the transaction exist again."""
        self._unawaited.clear()
