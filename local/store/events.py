"""The event store on SQLite: stores and lists events, and finds earlier events for lookback.

Events of one millisecond are in the order of storing (their `n`). When an event id comes again after
EVENT_ID_MEMORY, the new event replaces the old one, under a new `n` or at least a new time: the old one's keys then
become invalid.

`effective_at` is null except for a delayed event, for which it is the `ts`, by which the event is indexed. `due` is
when it has to be processed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from tidemill.limits import EVENT_ID_MEMORY
from tidemill.model import SIGNAL, Event, user_key
from tidemill.ports import EventQuery, Page
from tidemill_local.store.listed import paged, span
from tidemill_local.store.rejected import RejectedEvents

if TYPE_CHECKING:
    from tidemill_local.store.database import Database, Row, Value

_REMEMBERED = 4_096  # names whose awaited paths are cached

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode

_INSERT = (
    "INSERT INTO event (id, name, received_at, user, data, effective_at, due) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_STANDING = "SELECT n, coalesce(effective_at, received_at), data FROM event WHERE id = ?"
_BY_KEY = (
    "SELECT event.data FROM event_key AS k CROSS JOIN event "
    "ON event.n = k.n AND coalesce(event.effective_at, event.received_at) = k.effective_at "
    "WHERE k.name = ? AND k.path = ? AND k.hash = ? AND k.effective_at > ? AND k.effective_at <= ? "
    "ORDER BY k.effective_at, k.n LIMIT ?"
)
_BY_NAME = (
    "SELECT data, received_at AS at, n FROM event "
    "WHERE name = ?1 AND received_at > ?2 AND received_at <= ?3 AND effective_at IS NULL "
    "UNION ALL SELECT data, effective_at, n FROM event "
    "WHERE name = ?1 AND effective_at > ?2 AND effective_at <= ?3 AND effective_at IS NOT NULL "
    "ORDER BY at, n LIMIT ?4"
)
_DELAYED = "SELECT id, due FROM event WHERE due <= ? ORDER BY due, n LIMIT ?"
_REDUE = "UPDATE event SET due = ? WHERE id = ? AND due IS NOT NULL"


class SqliteEvents:
    """The port `EventStore`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rejected = RejectedEvents(db)
        self.told: Callable[[Event], None] | None = None  # called with each new event
        self._paths: dict[str, dict[str, int]] = {}  # cached rows, by name
        self.noted: Callable[[int], object] = lambda _: None  # called with the due time of an event

    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        """Within EVENT_ID_MEMORY the first event with an id is kept: another one, and its keys, is not stored."""
        n = self._stored(event)
        if n is None:
            return False
        for path, hash_ in keys:
            self._db.write(
                "INSERT INTO event_key VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (event.name, path, hash_, event.effective_at, n),
            )
        if self.told is not None:
            self.told(event)
        return True

    def latest(self) -> int:
        """The latest receipt time; 0 without events."""
        row = self._db.row(f"SELECT max(received_at) FROM event WHERE name <> '{SIGNAL}'", ())  # noqa: S608
        return row[0] or 0 if row else 0

    def get(self, event_id: str) -> Event | None:
        row = self._db.row("SELECT data FROM event WHERE id = ?", (event_id,))
        return _decode(row[0]) if row else None

    def reject(self, event: Event) -> bool:
        return self._rejected.put(event, self.told)

    def rejected(self, event_id: str) -> Event | None:
        return self._rejected.get(event_id)

    def accepted(self, event_id: str) -> None:
        self._rejected.unlist(event_id)

    def page(self, query: EventQuery) -> Page[Event]:
        if query.rejected:
            return self._rejected.page(query)
        where, order, values = _conditions(query)
        sql = f"SELECT data, received_at, id, length(data) FROM event WHERE {where} {order} LIMIT ?"  # noqa: S608
        with closing(self._db.each(sql, (*values, query.limit))) as rows:
            return paged(rows, lambda row: _decode(row[0]), key=lambda row: row[1:3], size=lambda row: row[3])

    def paths(self, name: str) -> dict[str, int]:
        return dict(self._awaited(name))  # a copy: paths may be added during iteration

    def add_path(self, name: str, path: str, now: int) -> int:
        paths = self._awaited(name)
        if path not in paths:
            self._db.write("INSERT INTO awaited VALUES (?, ?, ?)", (name, path, now))
            paths[path] = now
        return paths[path]

    def by_key(self, name: str, path: str, hash_: str, after: int, before: int, limit: int) -> list[Event]:
        return _events(self._db.rows(_BY_KEY, (name, path, hash_, after, before, limit)))

    def by_name(self, name: str, after: int, before: int, limit: int) -> list[Event]:
        return _events(self._db.rows(_BY_NAME, (name, after, before, limit)))

    def delayed(self, now: int, limit: int) -> list[tuple[str, int]]:
        return self._db.rows(_DELAYED, (now, limit))

    def redue(self, event_id: str, due: int | None) -> None:
        if self._db.write(_REDUE, (due, event_id)).rowcount and due is not None:
            self.noted(due)

    def next_due(self) -> int | None:
        """The next due time of a delayed event."""
        row = self._db.row("SELECT min(due) FROM event WHERE due IS NOT NULL", ())
        return row[0] if row else None

    def forget(self) -> None:
        """After a rollback: paths added in the transaction do not exist."""
        self._paths.clear()

    def _awaited(self, name: str) -> dict[str, int]:
        paths = self._paths.get(name)
        if paths is None:
            paths = dict(self._db.rows("SELECT path, since FROM awaited WHERE name = ?", (name,)))
            if len(self._paths) >= _REMEMBERED:
                self._paths.clear()
            self._paths[name] = paths
        return paths

    def _stored(self, event: Event) -> int | None:
        """The number of this event, stored now or before. None: another event has its id."""
        data = _encode(event)
        n = self._inserted(event, data)
        if n is not None:
            return n
        ((n, effective_at, admission),) = self._db.rows(_STANDING, (event.id,))
        if event.received_at - effective_at > EVENT_ID_MEMORY:
            self._db.write("DELETE FROM event WHERE n = ?", (n,))
            return self._inserted(event, data)
        return int(n) if admission == data else None

    def _inserted(self, event: Event, data: bytes) -> int | None:
        """The number of the new event. None: its id is taken."""
        delayed = event.ts if event.ts > event.received_at else None
        row = (event.id, event.name, event.received_at, user_key(event.user), data, delayed, delayed)
        inserted = self._db.write(_INSERT, row)
        if not inserted.rowcount:
            return None
        if delayed is not None:
            self.noted(delayed)
        return inserted.lastrowid


def _conditions(query: EventQuery) -> tuple[str, str, list[Value]]:
    """Signals are never listed; `+` prevents an index where another one is surely narrower."""
    where = [f"name <> '{SIGNAL}'"]
    values: list[Value] = []
    if query.user is not None:
        where.append("user = ?")
        values.append(query.user)
    if query.name is not None:
        where.append("name = ?" if query.user is None else "+name = ?")
        values.append(query.name)
    return span(query, "received_at", "n", "(SELECT n FROM event WHERE id = ?)", where, values)


def _events(rows: list[Row]) -> list[Event]:
    return [_decode(row[0]) for row in rows]
