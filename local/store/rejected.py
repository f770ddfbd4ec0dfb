"""The store of rejected events: kept with the reason, apart from accepted events, so that nothing matches them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from tidemill.model import Event, user_key
from tidemill.ports import EventQuery, Page
from tidemill_local.store.listed import paged, span

if TYPE_CHECKING:
    from tidemill_local.store.database import Database, Value

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode

_INSERT = (
    "INSERT INTO rejected (id, name, received_at, user, data, listed) VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING"
)


class RejectedEvents:
    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, event: Event, told: Callable[[Event], None] | None) -> bool:
        row = (event.id, event.name, event.received_at, user_key(event.user), _encode(event))
        if not self._db.write(_INSERT, row).rowcount:
            return self.get(event.id) == event
        if told is not None:
            told(event)
        return True

    def get(self, event_id: str) -> Event | None:
        row = self._db.row("SELECT data FROM rejected WHERE id = ?", (event_id,))
        return _decode(row[0]) if row else None

    def unlist(self, event_id: str) -> None:
        self._db.write("UPDATE rejected SET listed = 0 WHERE id = ?", (event_id,))

    def page(self, query: EventQuery) -> Page[Event]:
        where, order, values = _conditions(query)
        sql = f"SELECT data, received_at, id, length(data) FROM rejected WHERE {where} {order} LIMIT ?"  # noqa: S608
        with closing(self._db.each(sql, (*values, query.limit))) as rows:
            return paged(rows, lambda row: _decode(row[0]), key=lambda row: row[1:3], size=lambda row: row[3])


def _conditions(query: EventQuery) -> tuple[str, str, list[Value]]:
    asked: list[tuple[str, Value | None]] = [("user = ?", query.user), ("name = ?", query.name)]
    where = ["listed", *(condition for condition, value in asked if value is not None)]
    values: list[Value] = [value for _, value in asked if value is not None]
    return span(query, "received_at", "id", "?", where, values)
