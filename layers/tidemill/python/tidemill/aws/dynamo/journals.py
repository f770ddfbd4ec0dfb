"""Encodes a journal's records as items: one record, or several appended together, under the number of the first.

    r    the record, or the list of them; or, as text, the name of the blob that holds it
    n    how many there are; omitted for one record

The first records of a run are stored in its head's item (the same two attributes) if both together are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tidemill.aws.dynamo.keys import HEAD, PK, SK, TTL, record_key, run_key
from tidemill.aws.dynamo.large_values import kept, restored
from tidemill.aws.dynamo.table import Item
from tidemill.core.journal import Record, Started, decode, encode
from tidemill.errors import JournalError
from tidemill.limits import RECORD_LIFE, SECOND
from tidemill.ports import Blobs

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode


def packed(records: Sequence[Record], blobs: Blobs) -> Item:
    """The attributes that hold the records."""
    encoded = [encode(record) for record in records]
    if len(encoded) == 1:
        return {"r": kept(encoded[0], blobs)}
    return {"r": kept(_pack(encoded), blobs), "n": len(encoded)}


def item(run_id: str, seq: int, records: Sequence[Record], blobs: Blobs, due: int | None = None) -> Item:
    """`due`: when the run is checked again; by then its records may be renewed."""
    ttl = expiry(max(records[-1].at, due or 0))
    return {PK: run_key(run_id), SK: record_key(seq), TTL: ttl, **packed(records, blobs)}


def birth_in(head: Item, born: Item) -> Item:
    """The head's item with the run's first records. `n` is the head's attempt, so their number is `rn`."""
    return {**head, "r": born["r"], "rn": born.get("n", 0)}


def encoded(item: Item, blobs: Blobs) -> list[bytes]:
    """The records that an item holds, a head's included."""
    if "r" not in item:
        return []
    data = restored(item["r"], blobs)
    many = item.get("rn" if item[SK] == HEAD else "n", 0)
    return _unpack(data) if many else [data]


def first(item: Item) -> int:
    """The number of the first record that an item holds."""
    return 0 if item[SK] == HEAD else int(item[SK])


def expiry(at: int) -> int:
    """The expiry of a record of this time, unless its run is renewed, in DynamoDB's unit."""
    return (at + RECORD_LIFE) // SECOND + 1


def after(run_id: str, number: int, items: Iterable[Item], blobs: Blobs) -> list[bytes]:
    """The records numbered above `number` that the items, in order, hold. Raises JournalError at a gap."""
    records: list[bytes] = []
    wanted = number + 1
    for one in items:
        found = encoded(one, blobs)
        start = first(one)
        if start > wanted:
            raise JournalError(f"the journal of run {run_id} lacks record {wanted}")
        records += found[wanted - start :]
        wanted = max(wanted, start + len(found))
    return records


def decoded(run_id: str, records: Iterable[bytes]) -> list[Record]:
    return [_decoded(run_id, data) for data in records]


def birth(run_id: str, items: Iterable[Item], blobs: Blobs) -> Started | None:
    """Record 0, from the first items of a run."""
    for one in items:
        if first(one) == 0 and "r" in one:
            record = _decoded(run_id, encoded(one, blobs)[0])
            if isinstance(record, Started):
                return record
            raise JournalError(f"the journal of run {run_id} does not begin with a Started record")
    return None


def _decoded(run_id: str, data: bytes) -> Record:
    try:
        return decode(data)
    except msgspec.MsgspecError as error:
        raise JournalError(f"the journal of run {run_id} holds a record that cannot be read: {error}") from error
