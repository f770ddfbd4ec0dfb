"""DynamoDB as it may answer a read that is not marked strong: from a copy that has not heard of the latest writes.

moto answers every read from the table itself, so a read that should be strong and is not goes unnoticed. Here such
reads see a second table, into which writes come after a while; strong reads, and all writes and their conditions, see
the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tidemill.aws.calls.client import Client
from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.keys import PK, SK
from tidemill_local.testing import moto

_INSIDE = {"RequestItems", "TransactItems", "Put", "Update", "Delete", "PutRequest", "DeleteRequest"}
_READS = {"GetItem", "Query", "BatchGetItem", "Scan"}
_Key = dict[str, Any]


class Copy:
    """What reads that are not strong see of a table. `lag`: after how long a write is there too; None: never."""

    def __init__(self, client: Client, table: str, now: Callable[[], int], lag: Callable[[], int | None]) -> None:
        self._client = client
        self._now, self._lag = now, lag
        self._all: list[_Key] = []  # written since the copy last followed
        self._late: deque[tuple[int, _Key]] = deque()
        self.table, self.name = table, f"{table}-copy"
        moto.create_table(client, self.name)

    def written(self, key: _Key) -> None:
        self._all.append(key)
        lag = self._lag()
        if lag is not None:
            self._late.append((self._now() + lag, key))

    def listed(self, port: Any, *names: str) -> Any:
        """The port; these of its methods are lists, which may lag, and follow before they are asked here."""
        return _Listed(self, port, names)

    def follow(self) -> None:
        """Take over everything."""
        self._late = deque((0, key) for key in self._all)
        self._all.clear()
        self.catch_up()

    def catch_up(self) -> None:
        """Take over what has been written long enough ago."""
        while self._late and self._late[0][0] <= self._now():
            _, key = self._late.popleft()
            item = self._client.call(
                "dynamodb", "GetItem", {"TableName": self.table, "Key": key, "ConsistentRead": True}
            ).get("Item")
            if item is None:
                self._client.call("dynamodb", "DeleteItem", {"TableName": self.name, "Key": key})
            else:
                self._client.call("dynamodb", "PutItem", {"TableName": self.name, "Item": item})

    def drop(self) -> None:
        self._client.call("dynamodb", "DeleteTable", {"TableName": self.name})


class _Listed:
    def __init__(self, copy: Copy, port: Any, names: tuple[str, ...]) -> None:
        self._copy, self._port, self._names = copy, port, names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in self._names:
            return method

        def call(*args: Any, **options: Any) -> Any:
            self._copy.follow()
            return method(*args, **options)

        return call


class StaleTransport:
    def __init__(self, inner: Transport, copy: Copy) -> None:
        self._inner = inner
        self._copy = copy
        self.stale = 0  # reads that were answered from the copy

    def __call__(self, request: Request) -> Reply:
        if request.service != "dynamodb":
            return self._inner(request)
        if request.operation in _READS and b'"ConsistentRead":true' not in request.body.replace(b" ", b""):
            return self._from_copy(request)
        reply = self._inner(request)
        if reply.status == 200 and request.operation not in _READS:
            for key in _keys(msgspec.json.decode(request.body)):
                self._copy.written(key)
        return reply

    def _from_copy(self, request: Request) -> Reply:
        self._copy.catch_up()
        self.stale += 1
        table, name = f'"{self._copy.table}"'.encode(), f'"{self._copy.name}"'.encode()
        reply = self._inner(request._replace(body=request.body.replace(table, name)))
        return reply._replace(body=reply.body.replace(name, table))


def _keys(body: Any) -> Iterator[_Key]:
    """The keys of all items that a write is about."""
    if isinstance(body, list):
        for each in body:
            yield from _keys(each)
    elif isinstance(body, dict):
        for name, value in body.items():
            if name in ("Item", "Key") and PK in value:
                yield {PK: value[PK], SK: value[SK]}
            elif name in _INSIDE or isinstance(value, list):
                yield from _keys(value)
