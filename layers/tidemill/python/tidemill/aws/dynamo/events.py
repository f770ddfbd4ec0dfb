"""The event store on DynamoDB: stores each event once, lists newest first, and finds earlier events for lookback.

    EVENT#<id>                      #                    the event: its content, or the name of the blob that holds it
    EVENTS#<name>#<shard>           <received>#<id>      pointer: the events of a name, in time
    AWAITED#<name>#<copy>           #                    the paths by which they are awaited, and since when
    AWAITED#<name>#<path>=<hash>    <received>#<id>      pointer: the events that hold this value there

An event costs four write units: its item, its entries in the index of all events and in that of its user, and the
pointer under its name; one more for each path by which it is awaited. Its content is written once, whatever its size.

A pointer is valid if its event was received, or takes effect, at the pointer's time. When an id comes again after
EVENT_ID_MEMORY, the new event replaces the old one, and the old one's pointers become invalid.

A delayed event (its `ts` lies ahead of its receipt) has a second pointer under its name, by the time at which it takes
effect, and has that time under the paths too. Until it has been processed it is in the index of due times.

The empty path needs no pointers: every event of a name has it.

Every event reads by which paths its name is awaited, so one key would limit a name to the 3,000 reads a second of a
partition. Hence the copies: a new path is written to all of them, and each process reads one.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from tidemill.aws.dynamo.keys import (
    BY_DUE,
    BY_TIME,
    BY_USER,
    HEAD,
    PK,
    SHARDS,
    SK,
    TTL,
    USER_SHARDS,
    Index,
    event_key,
    fitting,
    shard,
    stamp,
    time_key,
    user_shard,
)
from tidemill.aws.dynamo.large_values import kept, restored
from tidemill.aws.dynamo.rejected import RejectedEvents
from tidemill.aws.dynamo.span import in_order, span
from tidemill.aws.dynamo.table import Item, Table, attributes, item_of
from tidemill.aws.dynamo.wait_keys import awaited_key, quoted
from tidemill.errors import Unavailable
from tidemill.limits import EVENT_ID_MEMORY, EVENT_RETENTION, SECOND
from tidemill.model import SIGNAL, Event, user_key
from tidemill.ports import Blobs, EventQuery, Page

COPIES = 8  # of what is awaited: 24,000 events a second of one name
DELAYED_SHARDS = 4  # 4,000 delayed events a second; the sweep reads all shards each minute
NAME_SHARDS = 8  # 8,000 events a second of one name; a lookback reads all shards

_CHUNK = 1_000  # pointers that are read at a time
_REMEMBERED = 8  # events that this process has just stored
_TRIES = 5  # to replace an event whose id may be used again
_PATHS = 4_096  # awaited paths that need not be added again

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Event).decode

_AWAITED = "AWAITED"

Pointer = tuple[str, str]  # its sort key, and the id of its event


class DynamoEvents:
    """The port `EventStore`."""

    def __init__(self, table: Table, blobs: Blobs) -> None:
        self._table = table
        self._blobs = blobs
        self._rejected = RejectedEvents(table, blobs)
        self._stored: dict[str, Event] = {}
        self._added: dict[tuple[str, str], int] = {}
        self._copy = os.urandom(1)[0] % COPIES  # the copy that this process reads

    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        """Within EVENT_ID_MEMORY the first event with an id is kept: another one, and its keys, is not stored."""
        if self._stored.get(event.id) != event:
            if not self._stands(event):
                return False
            under = _name_key(event.name, shard(event.id) % NAME_SHARDS)
            self._table.put(_pointer(under, event, event.received_at))
            if _delayed(event):
                self._table.put(_pointer(under, event, event.effective_at))
            self._remember(event)
        at = event.effective_at
        pointers = [_pointer(awaited_key(_AWAITED, event.name, path, hash_), event, at) for path, hash_ in keys if path]
        if len(pointers) == 1:
            self._table.put(pointers[0])
        elif pointers:
            self._table.write_many(pointers)
        return True

    def get(self, event_id: str) -> Event | None:
        item = self._table.get(event_key(event_id), HEAD)
        return self._event(item) if item is not None else None

    def reject(self, event: Event) -> bool:
        return self._rejected.put(event)

    def rejected(self, event_id: str) -> Event | None:
        return self._rejected.get(event_id)

    def accepted(self, event_id: str) -> None:
        self._rejected.unlist(event_id)

    def page(self, query: EventQuery) -> Page[Event]:
        """A list shows an event within about a second."""
        if query.rejected:
            return self._rejected.page(query)
        events = self._events(self._in_order(query), min(query.limit, _CHUNK))
        found = (event for event in events if query.name in (None, event.name) and event.name != SIGNAL)
        return Page(islice(found, query.limit))

    def paths(self, name: str) -> dict[str, int]:
        item = self._table.get(_paths_key(name, self._copy), HEAD) or {}
        return {path[1:]: since for path, since in item.items() if path[0] == "="}

    def add_path(self, name: str, path: str, now: int) -> int:
        """A path is never removed, so a process need not add it again."""
        since = self._added.get((name, path))
        if since is None:
            since = self._since(name, f"={path}", now)
            if len(self._added) >= _PATHS:
                self._added.clear()
            self._added[name, path] = since
        return since

    def by_key(self, name: str, path: str, hash_: str, after: int, before: int, limit: int) -> list[Event]:
        low, high = stamp(after + 1), stamp(before + 1)
        if not path:
            return self._of_name(name, low, high, limit)
        if low > high:
            return []
        pk = awaited_key(_AWAITED, name, path, hash_)
        found = self._table.query(pk, low=low, high=high, page=min(limit, _CHUNK))
        return list(islice(self._events(_pointers(found), limit, effective=True), limit))

    def by_name(self, name: str, after: int, before: int, limit: int) -> list[Event]:
        return self._of_name(name, stamp(after + 1), stamp(before + 1), limit)

    def delayed(self, now: int, limit: int) -> list[tuple[str, int]]:
        high = stamp(now + 1)
        partitions = [_delayed_key(number) for number in range(DELAYED_SHARDS)]
        found = [self._table.query(pk, high=high, index=BY_DUE, limit=limit) for pk in partitions]
        merged = heapq.merge(*[((item[BY_DUE.sk], item[PK]) for item in items) for items in found])
        return [(pk[len(event_key("")) :], int(due)) for due, pk in islice(merged, limit) if int(due) <= now]

    def redue(self, event_id: str, due: int | None) -> None:
        sets = {BY_DUE.sk: stamp(due)} if due is not None else {}
        gone = [BY_DUE.pk, BY_DUE.sk] if due is None else []
        self._table.update(event_key(event_id), HEAD, sets, remove=gone, when=f"attribute_exists(#{BY_DUE.pk})")

    # Writing.

    def _stands(self, event: Event) -> bool:
        """Whether this event is the one stored under its id; stores it if there is none."""
        item = self._item(event)
        for _ in range(_TRIES):  # bounded: another event with the same old id may be faster each time
            stored = self._table.put_or_found(item)
            if stored is None:
                return True
            if event.received_at - _effective(stored) <= EVENT_ID_MEMORY:
                return bool(stored["d"] == item["d"])
            self._table.delete(item[PK], HEAD, when="#at = :was", values={"was": stored["at"]})
        raise Unavailable(f"the id of event {event.id} was taken by others {_TRIES} times in a row")

    def _item(self, event: Event) -> Item:
        item: Item = {PK: event_key(event.id), SK: HEAD, "at": event.received_at, TTL: _expiry(event)}
        item["d"] = kept(_encode(event), self._blobs)
        if _delayed(event):
            due = {BY_DUE.pk: _delayed_key(shard(event.id) % DELAYED_SHARDS), BY_DUE.sk: stamp(event.ts)}
            item |= {"ef": event.effective_at, **due}
        if event.name == SIGNAL:
            return item
        at = _sort(event.received_at, event.id)
        item |= {BY_TIME.pk: _time_key(shard(event.id)), BY_TIME.sk: at}
        user = user_key(event.user)
        if user is not None:
            item |= {BY_USER.pk: _user_key(user, user_shard(event.id)), BY_USER.sk: at}
        return item

    def _remember(self, event: Event) -> None:
        """Remember the event: it is often stored again at once, with its keys."""
        if len(self._stored) >= _REMEMBERED:
            self._stored.clear()
        self._stored[event.id] = event

    def _since(self, name: str, field: str, now: int) -> int:
        """The time since which the path is in every copy."""
        keys = [(_paths_key(name, copy), HEAD) for copy in range(COPIES)]
        there = self._table.get_many(keys, strong=True)
        have = [there[key].get(field) if key in there else None for key in keys]
        return max(self._first(key[0], field, now) if at is None else at for key, at in zip(keys, have, strict=True))

    def _first(self, pk: str, field: str, value: int) -> int:
        """Set the field unless it has a value; returns its value."""
        body = {
            "TableName": self._table.name,
            "Key": attributes({PK: pk, SK: HEAD}),
            "UpdateExpression": "SET #f = if_not_exists(#f, :v)",
            "ExpressionAttributeNames": {"#f": field},
            "ExpressionAttributeValues": attributes({":v": value}),
            "ReturnValues": "ALL_NEW",  # UPDATED_NEW may leave out a value that did not change
        }
        found: int = item_of(self._table.client.call("dynamodb", "UpdateItem", body)["Attributes"])[field]
        return found

    # Reading.

    def _of_name(self, name: str, low: str, high: str, limit: int) -> list[Event]:
        """Oldest first, never stale."""
        if high and low > high:
            return []
        partitions = [_name_key(name, number) for number in range(NAME_SHARDS)]
        found = [self._table.query(pk, low=low, high=high, page=min(limit, _CHUNK)) for pk in partitions]
        merged = heapq.merge(*[_pointers(items) for items in found])
        return list(islice(self._events(merged, limit, effective=True), limit))

    def _in_order(self, query: EventQuery) -> Iterator[Pointer]:
        """The pointers of a list."""
        index: Index | None = None
        if query.user is not None:
            index, partitions = BY_USER, [_user_key(query.user, number) for number in range(USER_SHARDS)]
        elif query.name is not None:
            partitions = [_name_key(query.name, number) for number in range(NAME_SHARDS)]
        else:
            index, partitions = BY_TIME, [_time_key(number) for number in range(SHARDS)]
        return _pointers(in_order(self._table, partitions, span(query), min(query.limit, _CHUNK), index), index)

    def _events(self, pointers: Iterator[Pointer], wanted: int, effective: bool = False) -> Iterator[Event]:
        """The events of the pointers, in order, without invalid pointers. `effective`: pointers by the time at which an
        event takes effect, else by its receipt."""
        while some := list(islice(pointers, min(wanted, _CHUNK))):
            items = self._table.get_many([(event_key(event_id), HEAD) for _, event_id in some], strong=True)
            for at, event_id in some:
                item = items.get((event_key(event_id), HEAD))
                if item is not None and _sort(_effective(item) if effective else item["at"], event_id) == at:
                    yield self._event(item)

    def _event(self, item: Item) -> Event:
        return _decode(restored(item["d"], self._blobs))


def _pointer(pk: str, event: Event, at: int) -> Item:
    """It has the id as an attribute, because the key holds only the digest of a long id."""
    return {PK: pk, SK: _sort(at, event.id), "id": event.id, TTL: _expiry(event)}


def _delayed(event: Event) -> bool:
    return event.ts > event.received_at


def _pointers(items: Iterable[dict[str, Any]], index: Index | None = None) -> Iterator[Pointer]:
    for item in items:
        yield (item[SK], item["id"]) if index is None else (item[index.sk], item[PK][len(event_key("")) :])


def _effective(item: Item) -> int:
    """When the event takes effect."""
    at: int = item["ef"] if "ef" in item else item["at"]
    return at


def _expiry(event: Event) -> int:
    """The expiry of an event: its retention starts when it takes effect."""
    return (event.effective_at + EVENT_RETENTION) // SECOND


def _sort(at: int, event_id: str) -> str:
    return time_key(at, fitting(event_id))


def _name_key(name: str, number: int) -> str:
    return f"EVENTS#{name}#{number:02d}"


def _delayed_key(number: int) -> str:
    return f"DUE#event#{number:02d}"


def _time_key(number: int) -> str:
    return f"EVENTS#{number:02d}"


def _user_key(user: str, number: int) -> str:
    return f"EUSER#{fitting(user)}#{number:02d}"


def _paths_key(name: str, copy: int) -> str:
    return f"{_AWAITED}#{quoted(name)}#{copy}"
