"""Counts the billed units of calls to AWS: a transport around another one.

    meter = Meter(MotoTransport())
    client = moto.client(meter)
    ...
    meter.count("dynamodb", "PutItem"), meter.write_units, meter.index_units, meter.read_units

DynamoDB's units follow the developer guide, from the sizes of the items before and after each call (which the meter
reads, uncounted): a write unit for each begun KB of the larger of the two, twice that in a transaction, and also where
a condition failed; for each index an entry that appears, changes or vanishes, and both where its key changes; a read
unit for each begun 4 KB, half of it where the read need not be strong. Writes to an index are not transactional.

SQS bills each begun 64 KB of a message and EventBridge of an event: that is `billed` of such a call; of others it is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidemill.aws.calls.services import SERVICES
from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.keys import INDEXES, PK, SK, Index
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Item, Key, attributes, item_of
from tidemill.limits import KIB

_CHUNK = 64 * KIB
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class Call:
    """One call that AWS answered. `writes`: (units of the item, units of the indexes) of each item to write."""

    service: str
    operation: str
    status: int
    writes: tuple[tuple[int, int], ...] = ()
    read_units: float = 0
    billed: int = 1

    @property
    def write_units(self) -> int:
        return sum(own for own, _ in self.writes)

    @property
    def index_units(self) -> int:
        return sum(of_indexes for _, of_indexes in self.writes)


@dataclass
class Meter:
    """Counts the calls that go through it to `transport`."""

    transport: Transport
    calls: list[Call] = field(default_factory=list[Call])

    def __call__(self, request: Request) -> Reply:
        if request.service != "dynamodb":
            reply = self.transport(request)
            self._note(request, reply, billed=_billed(request))
            return reply
        body = _decode(request.body)
        keys = _written(request.operation, body)
        before = [self._item(request, table, key) for table, key in keys]
        reply = self.transport(request)
        if keys:
            after = [self._item(request, table, key) for table, key in keys]
            double = 2 if request.operation == "TransactWriteItems" else 1
            writes = [_units(old, new, double) for old, new in zip(before, after, strict=True)]
            for (_, key), old, new in zip(keys, before, after, strict=True):
                self.written(key, old, new, double)
            self._note(request, reply, writes=tuple(writes))
        else:
            self._note(request, reply, read_units=self._read(request, body, reply))
        return reply

    def written(self, key: Key, old: Item, new: Item, times: int) -> None:
        """Called for each item to write, with the old and the new item, for further counts."""

    def clear(self) -> None:
        self.calls.clear()

    def count(self, service: str, operation: str | None = None) -> int:
        return sum(call.service == service and operation in (None, call.operation) for call in self.calls)

    def billed(self, service: str, operation: str | None = None) -> int:
        of = [call for call in self.calls if call.service == service and operation in (None, call.operation)]
        return sum(call.billed for call in of)

    @property
    def write_units(self) -> int:
        """The write units of the table itself."""
        return sum(call.write_units for call in self.calls)

    @property
    def index_units(self) -> int:
        return sum(call.index_units for call in self.calls)

    @property
    def read_units(self) -> float:
        return sum(call.read_units for call in self.calls)

    def summary(self) -> dict[str, int]:
        """How many calls of each kind, as "service Operation", the most frequent first."""
        names = [f"{call.service} {call.operation}" for call in self.calls]
        return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}

    def _note(
        self,
        request: Request,
        reply: Reply,
        *,
        writes: tuple[tuple[int, int], ...] = (),
        read_units: float = 0,
        billed: int = 1,
    ) -> None:
        self.calls.append(Call(request.service, request.operation, reply.status, writes, read_units, billed))

    def _item(self, request: Request, table: str, key: Key) -> Item:
        found = self._ask(request, "GetItem", {"TableName": table, "Key": attributes({PK: key[0], SK: key[1]})})
        return item_of(found.get("Item", {}))

    def _read(self, request: Request, body: Mapping[str, Any], reply: Reply) -> float:
        if reply.status >= 300 or request.operation not in ("GetItem", "Query", "BatchGetItem"):
            return 0
        answer = _decode(reply.body)
        if request.operation == "GetItem":
            return _read_units([item_of(answer.get("Item", {}))], body.get("ConsistentRead", False))
        if request.operation == "Query":
            whole = {name: value for name, value in body.items() if name not in ("Select", "ProjectionExpression")}
            if len(whole) < len(body):
                used = whole["KeyConditionExpression"]
                names = whole["ExpressionAttributeNames"]
                whole["ExpressionAttributeNames"] = {name: names[name] for name in names if name in used}
                answer = self._ask(request, "Query", whole)
            size = sum(item_size(item_of(item)) for item in answer["Items"])
            return max(-(-size // (4 * KIB)), 1) * (1 if body.get("ConsistentRead") else 0.5)
        units = 0.0
        for table, asked in body["RequestItems"].items():
            found = [item_of(item) for item in answer["Responses"].get(table, ())]
            missing: list[Item] = [{}] * (len(asked["Keys"]) - len(found))
            units += _read_units(found + missing, asked.get("ConsistentRead", False))
        return units

    def _ask(self, request: Request, operation: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The meter's own call, which is not counted."""
        headers = {**request.headers, "x-amz-target": SERVICES["dynamodb"].target + operation}
        content = msgspec.json.encode({**body, "ConsistentRead": True} if operation == "GetItem" else body)
        return _decode(self.transport(request._replace(operation=operation, headers=headers, body=content)).body)


def write_units(size: int) -> int:
    return max(-(-size // KIB), 1)


def index_units(old: Item, new: Item, indexes: Sequence[Index] = INDEXES) -> int:
    """The write units of the indexes when an item changes from `old` to `new` (empty: there is none)."""
    units = 0
    for index in indexes:
        was, now = index_entry(old, index), index_entry(new, index)
        if was == now:
            continue
        if was and now and all(was[name] == now[name] for name in (index.pk, index.sk)):
            units += write_units(max(item_size(was), item_size(now)))
        else:
            units += sum(write_units(item_size(entry)) for entry in (was, now) if entry)
    return units


def index_entry(item: Item, index: Index) -> Item:
    """The index's entry for an item: none, unless the item has both its keys."""
    if index.pk not in item or index.sk not in item:
        return {}
    return {name: item[name] for name in (PK, SK, index.pk, index.sk, *index.also) if name in item}


def _units(old: Item, new: Item, double: int) -> tuple[int, int]:
    return write_units(max(item_size(old), item_size(new))) * double, index_units(old, new)


def _read_units(items: Iterable[Item], strong: bool) -> float:
    units = sum(max(-(-item_size(item) // (4 * KIB)), 1) for item in items)
    return units if strong else units / 2


def _written(operation: str, body: Mapping[str, Any]) -> list[tuple[str, Key]]:
    """Table and key of each item that the call is to write."""
    if operation == "PutItem":
        return [(body["TableName"], _key(body["Item"]))]
    if operation in ("UpdateItem", "DeleteItem"):
        return [(body["TableName"], _key(body["Key"]))]
    if operation == "TransactWriteItems":
        actions = [action for item in body["TransactItems"] for action in item.values()]
        return [(action["TableName"], _key(action.get("Item") or action["Key"])) for action in actions]
    if operation == "BatchWriteItem":
        return [
            (table, _key(part["PutRequest"]["Item"] if "PutRequest" in part else part["DeleteRequest"]["Key"]))
            for table, parts in body["RequestItems"].items()
            for part in parts
        ]
    return []


def _key(raw: Mapping[str, Mapping[str, str]]) -> Key:
    return raw[PK]["S"], raw[SK]["S"]


def _billed(request: Request) -> int:
    if request.operation == "PutEvents":
        entries = _decode(request.body)["Entries"]
        return sum(_chunks(len(entry["Detail"].encode())) for entry in entries)
    return _chunks(len(request.body)) if request.service == "sqs" else 1


def _chunks(size: int) -> int:
    return max(-(-size // _CHUNK), 1)
