"""Values that are too large for a journal's record, named by a digest of their content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tidemill.errors import JournalError

if TYPE_CHECKING:
    from tidemill_local.store.database import Database


class SqliteBlobs:
    """The port `Blobs`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, data: bytes, name: str | None = None) -> str:
        if name is not None:
            self._db.write("INSERT OR REPLACE INTO blob VALUES (?, ?)", (name, data))
            return name
        name = hashlib.sha256(data).hexdigest()
        self._db.write("INSERT INTO blob VALUES (?, ?) ON CONFLICT DO NOTHING", (name, data))
        return name

    def renew(self, name: str) -> None:
        """Nothing expires here."""

    def get(self, name: str) -> bytes:
        row = self._db.row("SELECT data FROM blob WHERE name = ?", (name,))
        if row is None:
            raise JournalError(f"the value {name} that a journal refers to is not in the store")
        data: bytes = row[0]
        return data

    def address(self, name: str) -> None:  # noqa: ARG002
        return None
