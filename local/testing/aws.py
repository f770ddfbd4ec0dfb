"""The stores of a Mill on the adapters of AWS: moto's tables, bus, queue and buckets, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.bus import EventBridgeBus
from tidemill.aws.client import AwsError, Client
from tidemill.aws.dynamo import Table
from tidemill.aws.envelope import SOURCE, event_of, read
from tidemill.aws.events import DynamoEvents
from tidemill.aws.runs import DynamoRuns
from tidemill.aws.table import BY_DUE, PK, due_key, run_of
from tidemill.aws.waits import DynamoWaits
from tidemill.model import Event
from tidemill.ports import Clock
from tidemill_local.testing import moto
from tidemill_local.testing.bus import Bus

_BUCKET = "tidemill-mills"  # all Mills share it: what is in it is named by its content


class MotoBus(Bus):
    """What is published goes to EventBridge, and what its rule brings to the queue is received."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__()
        self._client = client
        self._url = moto.create_queue(client, name)
        moto.create_bus(client, name)
        moto.create_rule(client, name, name, {"source": [SOURCE]}, moto.queue_arn(name))
        self._bridge = EventBridgeBus(client, name)

    def publish(self, events: Sequence[Event]) -> None:
        self._bridge.publish(events)
        super().publish(self._arrived())

    def _arrived(self) -> list[Event]:
        arrived: list[Event] = []
        asked = {"QueueUrl": self._url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
        while messages := self._client.call("sqs", "ReceiveMessage", asked).get("Messages"):
            for message in messages:
                arrived.append(event_of(read(message["Body"])))
                done = {"QueueUrl": self._url, "ReceiptHandle": message["ReceiptHandle"]}
                self._client.call("sqs", "DeleteMessage", done)
        return arrived


class InMoto:
    """Each has a table, a bus and a queue of its own; they are gone when it is closed."""

    def __init__(self, clock: Clock) -> None:
        self._client = moto.client()
        self._name = moto.fresh("mill")
        moto.create_table(self._client, self._name)
        _create_bucket(self._client)
        table = Table(self._client, self._name)
        self.blobs = S3Blobs(self._client, _BUCKET)
        self.runs = DynamoRuns(table, self.blobs, clock)
        self.events = DynamoEvents(table, self.blobs)
        self.waits = DynamoWaits(table)
        self.flow = ()
        self.bus = MotoBus(self._client, self._name)

    def next_due(self) -> int | None:
        """From one look at the whole index of due times, which holds the open runs."""
        return min((int(item[BY_DUE.sk]["S"]) for item in self._open()), default=None)

    def held(self, function_id: str) -> list[str]:
        heads = [self.runs.head(run_of(item[PK]["S"])) for item in self._open()]
        held = [h for h in heads if h is not None and h.function_id == function_id and h.reason is not None]
        return [head.run_id for head in sorted(held, key=lambda head: head.created_at)]

    def commit(self) -> None:
        """Each write has been kept when it was made."""

    def close(self) -> None:
        self._client.call("dynamodb", "DeleteTable", {"TableName": self._name})

    def _open(self) -> list[dict[str, dict[str, str]]]:
        found: list[dict[str, dict[str, str]]] = []
        body = {"TableName": self._name, "IndexName": BY_DUE.name}
        while True:
            answer = self._client.call("dynamodb", "Scan", body)
            found += [item for item in answer["Items"] if item[BY_DUE.pk]["S"].startswith(due_key("", 0)[:4])]
            if "LastEvaluatedKey" not in answer:
                return found
            body["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _create_bucket(client: Client) -> None:
    try:
        moto.create_bucket(client, _BUCKET)
    except AwsError as error:
        if error.code != "BucketAlreadyOwnedByYou":
            raise
