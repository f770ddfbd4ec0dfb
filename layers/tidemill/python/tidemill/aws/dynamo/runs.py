"""The run store on DynamoDB: heads, journals, snapshots and the counters of maps.

The put of a record's item, on the condition that its key is free, is the lock. That is one write of one item; it is a
transaction, at twice the cost, only if the head must change with the record. Several records that are appended together
are one item under the first one's number; so the lock works for a writer that knows the records before the number it
asks for, and every writer that has read or written the journal does.

One write creates a run: the head's item contains its first records if everything is small. Otherwise the records are
put first, and any process that finds them without a head adds the head. An index finds the run by its event. A run that
collects events has a pointer under each of them, so that it is found there without delay; pointers are written before
the head, and one without a run, or with one created at another time, does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from tidemill.aws.dynamo import heads, journals, run_lists
from tidemill.aws.dynamo.keys import (
    CHUNKS,
    HEAD,
    PK,
    RECORD_FIRST,
    RECORD_LAST,
    SK,
    SNAPSHOT,
    TTL,
    WAITS,
    chunks_key,
    event_key,
    pointer_key,
    record_key,
    run_key,
    snapshot_name,
)
from tidemill.aws.dynamo.large_values import kept, restored
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Item, Table
from tidemill.core.journal import Claimed, Ended, Record, Started
from tidemill.errors import JournalError
from tidemill.limits import DAY, KIB, RECORD_LIFE, SECOND, SNAPSHOT_RECORDS
from tidemill.model import Head, HeadChange, RunStatus
from tidemill.ports import APPENDED, Appended, Blobs, Clock, Lost, Page, RunQuery
from tidemill.warm import Warm

_BORN_WITHIN = KIB - 100  # of a head with its first records: leaves room for its changes until the end
_OPENED = SNAPSHOT_RECORDS + 10  # items of a run that are read before it is known whether there is a snapshot
_RENEWED = 100  # items that are renewed at a time
_THERE = f"attribute_exists({PK})"


class DynamoRuns:
    """The port `RunStore`."""

    def __init__(self, table: Table, blobs: Blobs, clock: Clock, warm: Warm | None = None) -> None:
        self._table = table
        self._blobs = blobs
        self._clock = clock
        self._warm = warm or Warm()

    # Creating.

    def create(self, head: Head, records: Sequence[Record]) -> bool:
        """True also if this same call had succeeded and seemed to fail, when a claim among the records shows it."""
        self._point(head, tuple(dict.fromkeys(head.event_ids if head.gathers else head.event_ids[1:])))
        born = journals.packed(records, self._blobs)
        item = heads.item(head, self._blobs)
        whole = journals.birth_in(item, born)
        if isinstance(born["r"], bytes) and item_size(whole) <= _BORN_WITHIN:
            found = self._table.put_or_found(whole)
            created = found is None or _mine(found, born, records)
        else:
            created = self._create_large(head.run_id, item, records, head.due)
        if created:
            head.kept = head.created_at + RECORD_LIFE
        return created

    def _create_large(self, run_id: str, item: Item, records: Sequence[Record], due: int | None) -> bool:
        if self._table.get(run_key(run_id), HEAD) is not None:
            return False
        born = journals.item(run_id, 0, records, self._blobs, due)
        found = self._table.put_or_found(born)
        self._table.put(item, absent=True)
        return found is None or _mine(found, born, records)

    def _point(self, head: Head, event_ids: tuple[str, ...]) -> None:
        ttl = journals.expiry(max(head.created_at, head.due or 0))
        pointers: list[Item] = [
            {PK: event_key(event_id), SK: pointer_key(head.created_at, head.run_id), TTL: ttl} for event_id in event_ids
        ]
        if len(pointers) == 1:
            self._table.put(pointers[0])
        elif pointers:
            self._table.write_many(pointers)

    # Reading.

    def head(self, run_id: str) -> Head | None:
        item = self._table.get(run_key(run_id), HEAD)
        return heads.head(item, self._blobs) if item is not None else None

    def open(self, run_id: str) -> tuple[Head, list[Record]] | None:
        """The head, and the records that its snapshot does not hold: one read, unless there is a snapshot.

        For a run in this process's cache: two reads, of the head and of the newer records.
        """
        found = self._open_warm(run_id) if run_id in self._warm else self._open_cold(run_id)
        if found is None:
            self._warm.drop(run_id)
            return None
        head, records = found
        self._warm.opened(head, _after_snapshot(head) + 1, records)
        return head, journals.decoded(run_id, records)

    def _open_cold(self, run_id: str) -> tuple[Head, list[bytes]] | None:
        items = self._table.query(run_key(run_id), low=HEAD, high=RECORD_LAST, page=_OPENED)
        first = next(items, None)
        if first is None or first[SK] != HEAD:
            return None
        head = heads.head(first, self._blobs)
        if head.snapshot is not None:
            return head, self._read(run_id, head.snapshot)
        return head, journals.after(run_id, -1, chain([first], items), self._blobs)

    def _open_warm(self, run_id: str) -> tuple[Head, list[bytes]] | None:
        head = self.head(run_id)
        return (head, self._read(run_id, _after_snapshot(head))) if head is not None else None

    def read(self, run_id: str, after: int = -1) -> list[Record]:
        return journals.decoded(run_id, self._read(run_id, after))

    def _read(self, run_id: str, after: int) -> list[bytes]:
        """The cache ends with the last record of an item, so newer records begin with a new item."""
        warm = self._warm.after(run_id, after)
        if not warm:
            return journals.after(run_id, after, self._items(run_id, after), self._blobs)
        last = after + len(warm)
        items = self._table.query(run_key(run_id), low=record_key(last + 1), high=RECORD_LAST)
        return [*warm, *journals.after(run_id, last, items, self._blobs)]

    def birth(self, run_id: str) -> Started | None:
        items = self._table.query(run_key(run_id), low=HEAD, high=RECORD_FIRST, limit=2)
        return journals.birth(run_id, items, self._blobs)

    def _items(self, run_id: str, after: int) -> Iterator[Item]:
        """The items that hold the records above `after`; the first of them may begin before."""
        pk = run_key(run_id)
        if after < 0:
            yield from self._table.query(pk, low=HEAD, high=RECORD_LAST)
            return
        items = self._table.query(pk, low=record_key(after + 1), high=RECORD_LAST)
        first = next(items, None)
        if first is None or journals.first(first) > after + 1:
            yield from self._table.query(pk, low=HEAD, high=record_key(after), newest_first=True, limit=1)
        if first is not None:
            yield first
            yield from items

    # Writing.

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        """Number 0 is always taken by the first record, even if no item has that number."""
        if seq == 0:
            return Lost(self._standing(run_id, 0))
        if change is not None and change.event_ids:
            self._point_more(run_id, change.event_ids)
        item = journals.item(run_id, seq, records, self._blobs, change.due if change is not None else None)
        if change is None or isinstance(records[0], Ended):
            if not self._table.put(item, absent=True):
                return Lost(self._standing(run_id, seq))
            if change is not None:
                self.change(run_id, change)
            return APPENDED
        sets, removed = heads.changes(run_id, change)
        codes = self._table.transact(
            [
                self._table.put_action(item, absent=True),
                self._table.update_action(run_key(run_id), HEAD, sets, remove=removed, when=_THERE),
            ]
        )
        if codes is None:
            return APPENDED
        if codes[0] == "None":
            raise JournalError(f"there is no run {run_id} to write to")
        return Lost(self._standing(run_id, seq))

    def rewrite(self, run_id: str, seq: int, record: Record) -> None:
        self._table.put(journals.item(run_id, seq, [record], self._blobs))
        self._warm.drop(run_id)

    def change(self, run_id: str, change: HeadChange) -> None:
        sets, removed = heads.changes(run_id, change)
        self._table.update(run_key(run_id), HEAD, sets, remove=removed, when=_THERE)

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        """A closed run (`due` None) stays closed."""
        if was is None:
            return
        sets, removed = heads.redue(due, reason)
        self._table.update(
            run_key(run_id), HEAD, sets, remove=removed, when=f"due = :was AND {_THERE}", values={"was": was}
        )

    def _standing(self, run_id: str, seq: int) -> list[Record]:
        found = self.read(run_id, seq - 1)
        if not found:
            raise JournalError(f"there is no run {run_id} to write to")
        return found

    def _point_more(self, run_id: str, event_ids: Sequence[str]) -> None:
        head = self.head(run_id)
        if head is not None:
            self._point(head, tuple(event_id for event_id in event_ids if event_id not in head.event_ids))

    # Lists.

    def overdue(self, now: int, limit: int) -> list[Head]:
        return run_lists.overdue(self._table, self._blobs, now, limit)

    def page(self, query: RunQuery) -> Page[Head]:
        return run_lists.page(self._table, self._blobs, query)

    def of_event(self, event_id: str) -> Page[Head]:
        return run_lists.of_event(self._table, self._blobs, event_id)

    def counts(self) -> dict[str, dict[RunStatus, int]]:
        return run_lists.counts(self._table)

    def idle(self) -> dict[str, int]:
        return run_lists.idle(self._table)

    # What else hangs on a run.

    def chunk_done(self, run_id: str, key: str, chunk: int) -> int:
        """At most 256 small numbers in one item: below a kilobyte, and adding one twice is adding it once."""
        item = self._table.updated(
            run_key(run_id), chunks_key(key), {TTL: self._expiry()}, add={"done": frozenset({chunk})}
        )
        return len(item["done"]) if item is not None else 0

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None:
        held = kept(data, self._blobs, snapshot_name(run_id))
        self._table.put({PK: run_key(run_id), SK: SNAPSHOT, TTL: self._expiry(), "seq": seq, "data": held})
        self._warm.folded(run_id, seq, data)

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        """A large snapshot may be newer than its item: its decoder compares the number in it."""
        warm = self._warm.snapshot(run_id, seq)
        if warm is None:
            warm = self._snapshot(run_id, seq)
            if warm is not None:
                self._warm.folded(run_id, seq, warm)
        return warm

    def _snapshot(self, run_id: str, seq: int) -> bytes | None:
        item = self._table.get(run_key(run_id), SNAPSHOT)
        if item is None or item["seq"] != seq:
            return None
        try:
            return restored(item["data"], self._blobs)
        except JournalError:  # its object is gone: the journal is complete
            return None

    def renew(self, run_id: str, until: int) -> None:
        """Puts items again as they are, many per call: except for the count of a map's chunks they never change.

        If it is interrupted, the next call continues with the rest; `until` is a whole day, so that it stays the same.
        """
        until = (until // DAY + 1) * DAY
        items = self._table.query(run_key(run_id), low=HEAD)
        stale = (item for item in items if self._outlived(item, until // SECOND))
        while some := list(islice(stale, _RENEWED)):
            for item in some:
                self._renew_values(item)
            counts = [item for item in some if item[SK].startswith(CHUNKS)]
            for item in [*counts, *(item for item in some if item[SK] == HEAD)]:
                self._table.update(item[PK], item[SK], {TTL: until // SECOND}, when=_THERE)
            apart = (HEAD, *(item[SK] for item in counts))
            self._table.write_many([{**item, TTL: until // SECOND} for item in some if item[SK] not in apart])
        self._table.update(run_key(run_id), HEAD, {"kp": until}, when=_THERE)

    def _outlived(self, item: Item, ttl: int) -> bool:
        """Whether the item expires before that; a head with large values is included."""
        if item[SK] == HEAD and TTL not in item:
            self._renew_values(item)
        return TTL in item and item[TTL] < ttl and not item[SK].startswith(WAITS)

    def _renew_values(self, item: Item) -> None:
        for name in (item.get("r"), item.get("data")):
            if isinstance(name, str):
                self._blobs.renew(name)
        if item[SK] == HEAD and isinstance(item.get("u"), bytes):
            self._blobs.renew(item["u"].decode())

    def _expiry(self) -> int:
        return journals.expiry(self._clock.now())


def _after_snapshot(head: Head) -> int:
    """The number of the last record that the head's snapshot holds; -1 without one."""
    return head.snapshot if head.snapshot is not None else -1


def _mine(found: Item, born: Item, records: Sequence[Record]) -> bool:
    """Whether the stored first records are this call's: a claim names its executor and is made once."""
    return found.get("r") == born["r"] and any(isinstance(record, Claimed) for record in records)
