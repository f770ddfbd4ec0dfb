"""Rejected events in DynamoDB: kept with the reason, apart from all that were taken in.

    REJECTED#<id>           #                    the event, with why it was rejected
    REJECTED##<shard>       <received>#<id>      pointer: the rejected events, in time

They expire after RETENTION_REJECTED.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from tidemill.aws.dynamo.keys import HEAD, PK, SK, TTL, fitting, shard, time_key
from tidemill.aws.dynamo.large_values import kept, restored
from tidemill.aws.dynamo.span import in_order, span
from tidemill.aws.dynamo.table import Item, Table
from tidemill.limits import RETENTION_REJECTED, SECOND
from tidemill.model import Event, user_key
from tidemill.ports import Blobs, EventQuery, Page

_SHARDS = 4
_CHUNK = 100

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode


class RejectedEvents:
    def __init__(self, table: Table, blobs: Blobs) -> None:
        self._table = table
        self._blobs = blobs

    def put(self, event: Event) -> bool:
        """The event first, then the pointer: what a list names can be read."""
        item: Item = {PK: _event_key(event.id), SK: HEAD, TTL: _expiry(event), "d": kept(_encode(event), self._blobs)}
        standing = self._table.put_or_found(item)
        if standing is not None and standing["d"] != item["d"]:
            return False
        pointer = {"id": event.id, "at": event.received_at, TTL: _expiry(event)}
        self._table.put({**_pointer_key(event), **pointer})
        return True

    def get(self, event_id: str) -> Event | None:
        item = self._table.get(_event_key(event_id), HEAD)
        return self._event(item) if item is not None else None

    def unlist(self, event_id: str) -> None:
        event = self.get(event_id)
        if event is not None:
            key = _pointer_key(event)
            self._table.delete(key[PK], key[SK])

    def page(self, query: EventQuery) -> Page[Event]:
        found = (event for event in self._in_order(query) if _asked_for(event, query))
        return Page(islice(found, query.limit))

    def _in_order(self, query: EventQuery) -> Iterator[Event]:
        pointers = in_order(self._table, map(_list_key, range(_SHARDS)), span(query), _CHUNK)
        while some := list(islice(pointers, min(query.limit, _CHUNK))):
            keys = [(_event_key(item["id"]), HEAD) for item in some]
            items = self._table.get_many(keys, strong=True)
            yield from (self._event(items[key]) for key in keys if key in items)

    def _event(self, item: dict[str, Any]) -> Event:
        return _decode(restored(item["d"], self._blobs))


def _asked_for(event: Event, query: EventQuery) -> bool:
    return query.name in (None, event.name) and query.user in (None, user_key(event.user))


def _event_key(event_id: str) -> str:
    return f"REJECTED#{fitting(event_id)}"


def _list_key(number: int) -> str:
    return f"REJECTED##{number:02d}"


def _pointer_key(event: Event) -> Item:
    return {PK: _list_key(shard(event.id) % _SHARDS), SK: time_key(event.received_at, fitting(event.id))}


def _expiry(event: Event) -> int:
    return (event.received_at + RETENTION_REJECTED) // SECOND
