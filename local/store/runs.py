"""The run store on SQLite: heads, journals, and lists of runs.

The journal's primary key is the lock: the first writer of a number has it. A head is a row of columns, so that a
change is one UPDATE without a read.

A new run is cached until the next write to it: most are claimed at once, and the claim then reads nothing. A rollback
clears the caches.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from tidemill.core.journal import Record, Started, decode, encode
from tidemill.errors import JournalError
from tidemill.model import Admission, Head, HeadChange, Parent, RunStatus
from tidemill.ports import APPENDED, Appended, Lost, Page, RunQuery
from tidemill.warm import Warm
from tidemill_local.store.listed import paged, span

if TYPE_CHECKING:
    from tidemill_local.store.database import Database, Row, Value

_PAGE = 500
_REMEMBERED = 20_000  # cached numbers of runs: many times the executing ones
_INSERTED = 1_000  # records of one statement, which SQLite limits
_FRESH = 8_192  # cached whole runs
_FRESH_BYTES = 4_096  # of records; runs with more are read again

_pack = msgspec.msgpack.Encoder().encode
_event_ids = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_parent = msgspec.msgpack.Decoder(Parent).decode
_standing = msgspec.msgpack.Decoder(Admission).decode

_COLUMNS = (  # the fields of Head, in order
    "run_id, function_id, status, created_at, due, version, reason, event_ids, user, attempt, parent, started_at, "
    'ended_at, "end", snapshot, finish_by, start_by, not_before, needs_cleanup, admission, gathers, rerun_of'
)
_EVENT_IDS, _PARENT, _TIES, _STANDING, _GATHERS = 7, 10, 18, 19, 20
_HEADS = f"SELECT {_COLUMNS} FROM run "  # noqa: S608  (constants)
_HEAD = _HEADS + "WHERE n = ?"
_CREATE = f"INSERT INTO run ({_COLUMNS}, chunk) VALUES ({'?, ' * 22}?) ON CONFLICT DO NOTHING"  # noqa: S608
_CHANGE = """
UPDATE run SET status = ?, due = ?, reason = ?, attempt = coalesce(?, attempt), version = coalesce(?, version),
    started_at = coalesce(?, started_at), ended_at = coalesce(?, ended_at), "end" = coalesce(?, "end"),
    snapshot = coalesce(?, snapshot), needs_cleanup = coalesce(?, needs_cleanup)
WHERE n = ?
"""
_CHANGE_MORE = """
UPDATE run SET status = ?, due = ?, reason = ?, attempt = coalesce(?, attempt), version = coalesce(?, version),
    started_at = coalesce(?, started_at), ended_at = coalesce(?, ended_at), "end" = coalesce(?, "end"),
    snapshot = coalesce(?, snapshot), needs_cleanup = coalesce(?, needs_cleanup), admission = coalesce(?, admission),
    not_before = coalesce(?, not_before), start_by = coalesce(?, start_by), finish_by = coalesce(?, finish_by),
    event_ids = coalesce(?, event_ids)
WHERE n = ?
"""
_READ = "SELECT seq, data FROM journal WHERE n = ? AND seq > ? ORDER BY seq"
_READY = """
SELECT run_id, function_id, created_at, n FROM run
WHERE status = ? AND status <> 'completed' AND (created_at, n) > (?, ?)
    AND due IS NOT NULL AND (not_before IS NULL OR not_before <= ?)
    AND NOT (admission IS NOT NULL AND run_id IN (SELECT run_id FROM line))
ORDER BY created_at, n LIMIT ?
"""


class SqliteRuns:
    """The port `RunStore`, and further queries of the local server."""

    def __init__(self, db: Database, warm: Warm | None = None) -> None:
        self._db = db
        self._warm = warm or Warm()
        self._numbers: dict[str, int] = {}
        self._fresh: dict[str, tuple[Head, list[bytes]]] = {}  # as created, with the encoded records

    # The port.

    def create(self, head: Head, records: Sequence[Record]) -> bool:
        blobs = [encode(record) for record in records]
        created = self._db.write(_CREATE, _row(head))
        if not created.rowcount:
            return False
        n = self._remember(head.run_id, created.lastrowid or 0)
        self._insert(n, 0, blobs)
        for event_id in head.event_ids:
            self._db.write("INSERT INTO event_run VALUES (?, ?) ON CONFLICT DO NOTHING", (event_id, n))
        self._keep_fresh(head, blobs)
        return True

    def head(self, run_id: str) -> Head | None:
        fresh = self._fresh.get(run_id)
        if fresh is not None:
            return msgspec.structs.replace(fresh[0])  # a copy: the caller may change it
        n = self._number(run_id)
        row = self._db.row(_HEAD, (n,)) if n is not None else None
        return _head(row) if row else None

    def open(self, run_id: str) -> tuple[Head, list[Record]] | None:
        head = self.head(run_id)
        if head is None:
            return None
        after = head.snapshot if head.snapshot is not None else -1
        blobs = self.read_raw(run_id, after)
        self._warm.opened(head, after + 1, blobs)
        return head, _decoded(run_id, blobs)

    def read(self, run_id: str, after: int = -1) -> list[Record]:
        return _decoded(run_id, self.read_raw(run_id, after))

    def birth(self, run_id: str) -> Started | None:
        row = self._db.row("SELECT data FROM journal WHERE n = ? AND seq = 0", (self._number(run_id),))
        if row is None:
            return None
        (record,) = _decoded(run_id, [row[0]])
        if not isinstance(record, Started):
            raise JournalError(f"the journal of run {run_id} does not begin with a Started record")
        return record

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        found = self.append_raw(run_id, seq, [encode(record) for record in records], change)
        return APPENDED if found is None else Lost(_decoded(run_id, found))

    def rewrite(self, run_id: str, seq: int, record: Record) -> None:
        self._fresh.pop(run_id, None)
        sql = "UPDATE journal SET data = ? WHERE n = ? AND seq = ?"
        self._db.write(sql, (encode(record), self._known(run_id), seq))
        self._warm.drop(run_id)

    def change(self, run_id: str, change: HeadChange) -> None:
        self._fresh.pop(run_id, None)
        n = self._number(run_id)
        if n is not None:
            self._change(n, change)

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        """A closed run (`due` None) stays closed."""
        fresh = self._fresh.pop(run_id, None)
        n = self._number(run_id)
        moved = self._db.write("UPDATE run SET due = ?, reason = ? WHERE n = ? AND due = ?", (due, reason, n, was))
        if fresh is not None and moved.rowcount:
            self._fresh[run_id] = msgspec.structs.replace(fresh[0], due=due, reason=reason), fresh[1]

    def overdue(self, now: int, limit: int) -> list[Head]:
        return _heads(self._db.rows(_HEADS + "WHERE due <= ? ORDER BY due, n LIMIT ?", (now, limit)))

    def page(self, query: RunQuery) -> Page[Head]:
        where, order, values = _conditions(query)
        sql = f"{_HEADS}{where} {order} LIMIT ?"
        return paged(self._db.rows(sql, (*values, query.limit)), _head, key=lambda row: (row[3], row[0]))

    def of_event(self, event_id: str) -> Page[Head]:
        sql = _HEADS + "WHERE n IN (SELECT n FROM event_run WHERE event_id = ?) ORDER BY created_at, n"  # noqa: S608
        return paged(self._db.rows(sql, (event_id,)), _head, key=lambda row: (row[3], row[0]))

    def chunk_done(self, run_id: str, key: str, chunk: int) -> int:
        self._db.write("INSERT INTO chunk VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (run_id, key, chunk))
        ((count,),) = self._db.rows("SELECT count(*) FROM chunk WHERE run_id = ? AND key = ?", (run_id, key))
        return int(count)

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None:
        n = self._known(run_id)
        self._db.write("DELETE FROM snapshot WHERE n = ?", (n,))
        self._db.write("INSERT INTO snapshot VALUES (?, ?, ?)", (n, seq, data))
        self._warm.folded(run_id, seq, data)

    def renew(self, run_id: str, until: int) -> None:
        """Nothing expires here."""

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        warm = self._warm.snapshot(run_id, seq)
        if warm is not None:
            return warm
        row = self._db.row("SELECT data FROM snapshot WHERE n = ? AND seq = ?", (self._number(run_id), seq))
        if row is not None:
            self._warm.folded(run_id, seq, row[0])
        return row[0] if row else None

    # Further queries of the local server.

    def append_raw(
        self, run_id: str, seq: int, blobs: Sequence[bytes], change: HeadChange | None = None
    ) -> list[bytes] | None:
        """Like `append`, for encoded records."""
        fresh = self._fresh.pop(run_id, None)
        n = self._known(run_id)
        try:
            self._insert(n, seq, blobs)
        except sqlite3.IntegrityError:
            return self.read_raw(run_id, seq - 1)
        if change is not None:
            self._change(n, change)
            if fresh is not None and change.admission is not None and change.status == "scheduled":
                self._keep_fresh(_as_changed(fresh[0], change), [*fresh[1], *blobs])  # it stays in line, unchanged
        return None

    def read_raw(self, run_id: str, after: int = -1) -> list[bytes]:
        """Like `read`, with encoded records."""
        fresh = self._fresh.get(run_id)
        if fresh is not None:
            return fresh[1][after + 1 :]
        warm = self._warm.after(run_id, after)
        after += len(warm)
        rows = self._db.rows(_READ, (self._number(run_id), after))
        if rows and rows[-1][0] != after + len(rows):
            have = {row[0] for row in rows}
            gap = next(seq for seq in range(after + 1, rows[-1][0]) if seq not in have)
            raise JournalError(f"the journal of run {run_id} lacks record {gap}")
        return [*warm, *(row[1] for row in rows)]

    def next_due(self, after: int = -1) -> int | None:
        """The earliest due time of any run that is later than `after`."""
        row = self._db.row("SELECT due FROM run WHERE due > ? ORDER BY due LIMIT 1", (after,))
        return row[0] if row else None

    def waking(self, after: tuple[int, int], now: int, limit: int) -> list[tuple[int, int, str, str]]:
        """(due, n, run_id, function_id) of the open runs due by `now` and later than `after`, a (due, n), in order."""
        return self._db.rows(
            "SELECT due, n, run_id, function_id FROM run WHERE (due, n) > (?, ?) AND due <= ? ORDER BY due, n LIMIT ?",
            (*after, now, limit),
        )

    def open_ready(self, now: int) -> Iterator[tuple[str, str]]:
        """(run_id, function_id) of the runs to check when a server starts: begun or ready to begin, oldest first.

        The others are due later, or are overdue: `overdue` finds them.
        """
        for _, _, run_id, function_id in heapq.merge(self._ready("running", now), self._ready("scheduled", now)):
            yield run_id, function_id

    def held(self, function_id: str) -> list[str]:
        """The ids of a function's open runs that are held for a reason other than a line, oldest first."""
        sql = (
            "SELECT run_id FROM run WHERE function_id = ? AND reason IS NOT NULL AND due IS NOT NULL "
            "AND run_id NOT IN (SELECT run_id FROM line WHERE function_id = ?) ORDER BY created_at, n"
        )
        return [row[0] for row in self._db.rows(sql, (function_id, function_id))]

    def planned(self, now: int) -> set[str]:
        """The functions with admitted runs that wait for a planned time."""
        sql = (
            "SELECT DISTINCT function_id FROM run "
            "WHERE status = 'scheduled' AND due IS NOT NULL AND admission IS NOT NULL AND not_before > ?"
        )
        return {row[0] for row in self._db.rows(sql, (now,))}

    def counts(self) -> dict[str, dict[RunStatus, int]]:
        counts: dict[str, dict[RunStatus, int]] = {}
        busy = "SELECT function_id, status, count(*) FROM run WHERE status IN ('scheduled', 'running') GROUP BY 1, 2"
        for function_id, status, count in self._db.rows(busy):
            counts.setdefault(function_id, {})[status] = count
        return counts

    def idle(self) -> dict[str, int]:
        idle = "SELECT function_id, count(*) FROM run WHERE status IN ('sleeping', 'waiting') GROUP BY 1"
        return dict(self._db.rows(idle))

    def forget(self) -> None:
        """After a rollback: the transaction's numbers will be reused, and its runs do not exist."""
        self._numbers.clear()
        self._fresh.clear()
        self._warm.clear()

    def _change(self, n: int, change: HeadChange) -> None:
        more = _changed_more(change)
        if more is None:
            self._db.write(_CHANGE, (*_changed(change), n))
            return
        self._db.write(_CHANGE_MORE, (*_changed(change), *more, n))
        for event_id in change.event_ids or ():
            self._db.write("INSERT INTO event_run VALUES (?, ?) ON CONFLICT DO NOTHING", (event_id, n))

    def _number(self, run_id: str) -> int | None:
        n = self._numbers.get(run_id)
        if n is None:
            row = self._db.row("SELECT n FROM run WHERE run_id = ?", (run_id,))
            return self._remember(run_id, row[0]) if row else None
        return n

    def _known(self, run_id: str) -> int:
        n = self._number(run_id)
        if n is None:
            raise JournalError(f"there is no run {run_id} to write to")
        return n

    def _remember(self, run_id: str, n: int) -> int:
        if len(self._numbers) >= _REMEMBERED:
            self._numbers.clear()
        self._numbers[run_id] = n
        return n

    def _keep_fresh(self, head: Head, blobs: list[bytes]) -> None:
        if sum(map(len, blobs)) > _FRESH_BYTES:
            return
        if len(self._fresh) >= _FRESH:
            # Many at a time: finding a dict's first key gets slower with each one removed.
            for oldest in [*islice(self._fresh, _FRESH // 4)]:
                del self._fresh[oldest]
        self._fresh[head.run_id] = msgspec.structs.replace(head), blobs

    def _insert(self, n: int, seq: int, blobs: Sequence[bytes]) -> None:
        """If the first number is taken, nothing is written; if it is free, so are all later ones."""
        for low in range(0, len(blobs), _INSERTED):
            values: list[Value] = []
            some = blobs[low : low + _INSERTED]
            for number, blob in enumerate(some, seq + low):
                values += (n, number, blob)
            places = ", ".join(["(?, ?, ?)"] * len(some))
            self._db.write("INSERT INTO journal VALUES " + places, values)  # noqa: S608

    def _ready(self, status: RunStatus, now: int) -> Iterator[tuple[int, int, str, str]]:
        after = (-1, -1)
        while rows := self._db.rows(_READY, (status, *after, now, _PAGE)):
            for run_id, function_id, created_at, n in rows:
                yield created_at, n, run_id, function_id
            after = (rows[-1][2], rows[-1][3])


def _conditions(query: RunQuery) -> tuple[str, str, list[Value]]:
    """`+` prevents an index where another one is narrower: a user has few runs, and only `completed` is common."""
    where = ["WHERE NOT chunk"]  # lists omit the chunks of a map
    values: list[Value] = []
    rare = query.status is not None and query.status != "completed"
    if query.user is not None:
        where.append("user = ?")
        values.append(query.user)
    if query.function_id is not None:
        where.append("+function_id = ?" if query.user is not None or rare else "function_id = ?")
        values.append(query.function_id)
    if query.status is not None:
        indexed = rare and query.user is None
        where.append("status = ? AND status <> 'completed'" if indexed else "+status = ?")
        values.append(query.status)
    return span(query, "created_at", "n", "(SELECT n FROM run WHERE run_id = ?)", where, values)


def _row(head: Head) -> tuple[Value, ...]:
    parent = None if head.parent is None else _pack(head.parent)
    return (
        head.run_id, head.function_id, head.status, head.created_at, head.due, head.version, head.reason,
        _pack(head.event_ids), head.user, head.attempt, parent, head.started_at, head.ended_at, head.end,
        head.snapshot, head.finish_by, head.start_by, head.not_before, head.needs_cleanup,
        None if head.admission is None else _pack(head.admission), head.gathers, head.rerun_of,
        head.parent is not None and head.parent.chunk is not None,
    )  # fmt: skip


def _head(row: Row) -> Head:
    try:
        return _decoded_head(row)
    except msgspec.MsgspecError as error:
        raise JournalError(f"the head of run {row[0]} cannot be read: {error}") from error


def _decoded_head(row: Row) -> Head:
    values = list(row)
    values[_EVENT_IDS] = _event_ids(values[_EVENT_IDS])
    if values[_PARENT] is not None:
        values[_PARENT] = _parent(values[_PARENT])
    values[_TIES] = bool(values[_TIES])
    if values[_STANDING] is not None:
        values[_STANDING] = _standing(values[_STANDING])
    values[_GATHERS] = bool(values[_GATHERS])
    return Head(*values)


def _heads(rows: list[Row]) -> list[Head]:
    return [_head(row) for row in rows]


def _changed(change: HeadChange) -> tuple[Value, ...]:
    return (
        change.status, change.due, change.reason, change.attempt, change.version, change.started_at,
        change.ended_at, change.end, change.snapshot, change.needs_cleanup,
    )  # fmt: skip


def _as_changed(head: Head, change: HeadChange) -> Head:
    told = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
    return msgspec.structs.replace(head, **{**told, "due": change.due, "reason": change.reason})


def _changed_more(change: HeadChange) -> tuple[Value, ...] | None:
    """The fields that flow control changes; None: none."""
    admission, ids = change.admission, change.event_ids
    times = (change.not_before, change.start_by, change.finish_by)
    if admission is None and ids is None and times == (None, None, None):
        return None
    return (None if admission is None else _pack(admission), *times, None if ids is None else _pack(ids))


def _decoded(run_id: str, blobs: Sequence[bytes]) -> list[Record]:
    try:
        return [decode(blob) for blob in blobs]
    except msgspec.MsgspecError as error:
        raise JournalError(f"the journal of run {run_id} holds a record that cannot be read: {error}") from error
