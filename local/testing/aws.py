"""The stores of a Mill on the adapters of AWS: moto's tables, bus, queue and buckets, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.pauses import DynamoPauses
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.aws.messages.envelope import SOURCE, event_of, read
from tidemill.core.journal import Record
from tidemill.model import Event, Head, HeadChange
from tidemill.ports import Appended, Blobs, Clock, Lost
from tidemill_local.testing import moto
from tidemill_local.testing.bus import Bus
from tidemill_local.testing.kept_logs import KeptLogs

_BUCKET = "tidemill-mills"  # all Mills share it: objects are named by their content


class WatchedRuns(DynamoRuns):
    """Tracks which runs are open and when they are due, because a Mill asks at every moment.

    In AWS the sweeper asks the index of due times once a minute; moto would look through the whole table each time.
    """

    def __init__(self, table: Table, blobs: Blobs, clock: Clock) -> None:
        super().__init__(table, blobs, clock)
        self.open_runs: dict[str, tuple[int, str]] = {}  # by run: its due time and its function

    def create(self, head: Head, records: Sequence[Record]) -> bool:
        created = super().create(head, records)
        self._watch(head.run_id)
        return created

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        found = super().append(run_id, seq, records, change)
        if change is not None:
            self._watch(run_id)
        return found

    def change(self, run_id: str, change: HeadChange) -> None:
        super().change(run_id, change)
        self._watch(run_id)

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        super().redue(run_id, was, due, reason)
        self._watch(run_id)

    def _watch(self, run_id: str) -> None:
        head = self.head(run_id)
        if head is not None and head.due is not None:
            self.open_runs[run_id] = head.due, head.function_id
        else:
            self.open_runs.pop(run_id, None)


class WatchedEvents(DynamoEvents):
    """Tracks the delayed events and their due times."""

    def __init__(self, table: Table, blobs: Blobs) -> None:
        super().__init__(table, blobs)
        self.due: dict[str, int] = {}
        self._noted: list[Event] = []

    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        stands = super().put(event, keys)
        if stands and event.ts > event.received_at and event not in self._noted:
            self._noted.append(event)
            self.due[event.id] = event.ts
        return stands

    def delayed(self, now: int, limit: int) -> list[tuple[str, int]]:
        return super().delayed(now, limit) if any(due <= now for due in self.due.values()) else []

    def redue(self, event_id: str, due: int | None) -> None:
        super().redue(event_id, due)
        if due is None:
            self.due.pop(event_id, None)
        elif event_id in self.due:
            self.due[event_id] = due


class MotoBus(Bus):
    """Publishes events to moto's EventBridge, and receives those that its rule sends to the queue."""

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
    """Each Mill has its own table, bus and queue, which are deleted when it is closed."""

    def __init__(self, clock: Clock, client: Client | None = None) -> None:
        self._client = client or moto.client()
        self._name = moto.fresh("mill")
        moto.create_table(self._client, self._name)
        _create_bucket(self._client)
        table = Table(self._client, self._name)
        self.blobs = S3Blobs(self._client, _BUCKET)
        self.runs = WatchedRuns(table, self.blobs, clock)
        self.events = WatchedEvents(table, self.blobs)
        self.waits = DynamoWaits(table)
        self.flow = DynamoFlow(table)
        self.logs = KeptLogs()
        self.pauses = DynamoPauses(table, clock)
        self.bus = MotoBus(self._client, self._name)

    def next_due(self) -> int | None:
        return min([*(due for due, _ in self.runs.open_runs.values()), *self.events.due.values()], default=None)

    def due(self, now: int) -> list[tuple[str, str]]:
        due = sorted((at, run_id, whose) for run_id, (at, whose) in self.runs.open_runs.items() if at <= now)
        return [(run_id, function_id) for _, run_id, function_id in due]

    def held(self, function_id: str) -> list[str]:
        heads = [self.runs.head(run_id) for run_id, (_, whose) in self.runs.open_runs.items() if whose == function_id]
        held = [head for head in heads if head is not None and head.reason is not None]
        return [head.run_id for head in sorted(held, key=lambda head: head.created_at)]

    def commit(self) -> None:
        """Each write was kept when it was made."""

    def close(self) -> None:
        """Delete the table, which is gone already where moto was reset before the Mill was collected."""
        try:
            self._client.call("dynamodb", "DeleteTable", {"TableName": self._name})
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise


def _create_bucket(client: Client) -> None:
    try:
        moto.create_bucket(client, _BUCKET)
    except AwsError as error:
        if error.code != "BucketAlreadyOwnedByYou":
            raise
