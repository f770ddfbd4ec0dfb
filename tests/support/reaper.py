"""What AWS deletes by itself, as soon as it may: items past their TTL, objects past their lifecycle.

AWS takes its time: items usually go within two days. This reaper takes six hours: before a request it deletes what
has expired by the test's clock. As DynamoDB does, it takes only a TTL that is a number, and none that lies more than
five years back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tidemill.aws.blobs import PREFIX
from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.keys import PK, SK, TTL
from tidemill.limits import DAY, HOUR, SECOND
from tidemill.ports import Clock
from tidemill_local.testing import moto

EVERY = 6 * HOUR  # a look at the whole table takes moto its time
FIVE_YEARS = 5 * 365 * DAY
PAYLOAD_DAYS = 430  # the lifecycle rule of the bucket, as the stack has it unless it is told otherwise


@dataclass
class Reaper:
    """A transport around moto's. `payload_days`: how long an object lives after it was last put."""

    clock: Clock
    inner: Transport = field(default_factory=moto.MotoTransport)
    payload_days: int = PAYLOAD_DAYS
    reaped: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    _client: moto.Client = field(default_factory=moto.client)
    _tables: set[str] = field(default_factory=set[str])
    _objects: dict[str, int] = field(default_factory=dict[str, int])  # by path: when it was put last
    _swept: int = 0

    def __call__(self, request: Request) -> Reply:
        self.reap()
        if request.service == "dynamodb" and request.operation not in ("CreateTable", "DeleteTable"):
            self._tables |= _tables(request)
        reply = self.inner(request)
        if request.operation == "DeleteTable":
            self._tables -= _tables(request)
        path = _path(request)
        if request.service == "s3" and request.method == "PUT" and reply.status < 300 and f"/{PREFIX}" in path:
            self._objects[path] = self.clock.now()
        return reply

    def reap(self) -> None:
        """Delete what has expired since the clock was looked at last."""
        now = self.clock.now()
        if now - self._swept < EVERY:
            return
        self._swept = now
        for table in self._tables:
            self._reap_items(table, now)
        for path in [path for path, put in self._objects.items() if put + self.payload_days * DAY <= now]:
            del self._objects[path]
            self._client.send("s3", "DELETE", path)
            self.reaped.append(("s3", path))

    def _reap_items(self, table: str, now: int) -> None:
        body = {
            "TableName": table,
            "FilterExpression": "#t BETWEEN :old AND :now",
            "ExpressionAttributeNames": {"#t": TTL},
            "ExpressionAttributeValues": {
                ":old": {"N": str((now - FIVE_YEARS) // SECOND)},
                ":now": {"N": str(now // SECOND)},
            },
        }
        for item in _pages(lambda start: self._client.call("dynamodb", "Scan", {**body, **start})):
            key = {PK: item[PK], SK: item[SK]}
            self._client.call("dynamodb", "DeleteItem", {"TableName": table, "Key": key})
            self.reaped.append((item[PK]["S"], item[SK]["S"]))


def _pages(ask: Callable[[dict[str, object]], dict[str, object]]) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = []
    start: dict[str, object] = {}
    while True:
        answer = ask(start)
        found += answer["Items"]  # type: ignore[arg-type]
        if "LastEvaluatedKey" not in answer:
            return found
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _path(request: Request) -> str:
    """`/bucket/key`: the bucket is in the host's name."""
    path = request.target.partition("?")[0]
    bucket = request.host.partition(".s3.")[0]
    return f"/{bucket}{path}" if ".s3." in request.host else path


def _tables(request: Request) -> set[str]:
    body = json.loads(request.body)
    named = {body["TableName"]} if "TableName" in body else set(body.get("RequestItems", ()))
    for action in body.get("TransactItems", ()):
        named |= {one["TableName"] for one in action.values()}
    return named
