"""Bulk jobs, one row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tidemill.model import Job

if TYPE_CHECKING:
    from tidemill_local.store.database import Database, Value

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Job).decode


class SqliteJobs:
    """The port `Jobs`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, job: Job) -> bool:
        sql = "INSERT INTO job VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        row = (job.id, job.kind, job.created_at, job.status == "running", _encode(job))
        return bool(self._db.write(sql, row).rowcount)

    def get(self, job_id: str) -> Job | None:
        row = self._db.row("SELECT data FROM job WHERE id = ?", (job_id,))
        return _decode(row[0]) if row else None

    def change(self, was: Job, job: Job) -> bool:
        sql = "UPDATE job SET data = ?, running = ? WHERE id = ? AND data = ?"
        return bool(self._db.write(sql, (_encode(job), job.status == "running", job.id, _encode(was))).rowcount)

    def page(self, kind: str, limit: int, cursor: tuple[int, str] | None) -> list[Job]:
        where = "kind = ?"
        values: list[Value] = [kind]
        if cursor is not None:
            where += " AND (created_at, id) < (?, ?)"
            values += cursor
        sql = f"SELECT data FROM job WHERE {where} ORDER BY created_at DESC, id DESC LIMIT ?"  # noqa: S608  (constants)
        return [_decode(row[0]) for row in self._db.rows(sql, (*values, limit))]

    def running(self) -> list[Job]:
        return [_decode(row[0]) for row in self._db.rows("SELECT data FROM job WHERE running ORDER BY created_at, id")]
