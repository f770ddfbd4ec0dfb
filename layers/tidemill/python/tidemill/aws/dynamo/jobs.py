"""Bulk jobs in DynamoDB.

JOBS                <created>#<id>      a job, with all that it has come to
JOB#<id>            #                   where it is: the id's own item, by which a doubled request is known
JOBS-RUNNING        <created>#<id>      one that is to be worked on; the sweep reads these
"""

from __future__ import annotations

import msgspec

from tidemill.aws.dynamo.keys import HEAD, PK, SK, time_key
from tidemill.aws.dynamo.table import Table
from tidemill.model import Job

_RUNNING = "JOBS-RUNNING"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Job).decode


class DynamoJobs:
    """The port `Jobs`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, job: Job) -> bool:
        """The mark by which it is found to be running comes first, for one without a job is passed over."""
        key = time_key(job.created_at, job.id)
        if self._table.get(_own(job.id), HEAD) is not None:
            return False
        self._table.put({PK: _RUNNING, SK: key, "id": job.id})
        codes = self._table.transact(
            [
                self._table.put_action({PK: _own(job.id), SK: HEAD, "data": _text(job)}, absent=True),
                self._table.put_action({PK: _list(job.kind), SK: key, "id": job.id}, absent=True),
            ]
        )
        return codes is None

    def get(self, job_id: str) -> Job | None:
        item = self._table.get(_own(job_id), HEAD)
        return _decode(item["data"]) if item is not None else None

    def change(self, was: Job, job: Job) -> bool:
        if job.status == "running":
            self._table.put({PK: _RUNNING, SK: time_key(job.created_at, job.id), "id": job.id})
        changed = self._table.update(
            _own(job.id), HEAD, {"data": _text(job)}, when="#data = :was", values={"was": _text(was)}
        )
        if changed and job.status != "running":
            self._table.delete(_RUNNING, time_key(job.created_at, job.id))
        return changed

    def page(self, kind: str, limit: int, cursor: tuple[int, str] | None) -> list[Job]:
        high = time_key(*cursor) if cursor is not None else ""
        found = self._table.query(_list(kind), high=high, newest_first=True, limit=limit + 1)
        return self._all([item["id"] for item in found if item[SK] != high][:limit])

    def running(self) -> list[Job]:
        found = self._all([item["id"] for item in self._table.query(_RUNNING)])
        return [job for job in found if job.status == "running"]

    def _all(self, ids: list[str]) -> list[Job]:
        """Those of them that exist, in this order."""
        keys = [(_own(job_id), HEAD) for job_id in ids]
        items = self._table.get_many(keys, strong=True)
        return [_decode(items[key]["data"]) for key in keys if key in items]


def _own(job_id: str) -> str:
    return f"JOB#{job_id}"


def _list(kind: str) -> str:
    return f"JOBS#{kind}"


def _text(job: Job) -> str:
    return _encode(job).decode()
