"""Decides when a message that could not be processed comes again.

By default a message comes again when its visibility timeout ends: after the whole time of a Lambda, as if its process
had died. If the process is alive and knows that the cause is transient (a throttled table), it has the message come
sooner: after a second or two at first, at most a minute later, with full jitter. So the backlog of an hour of overload
is processed within minutes of its end. The number of receives is then no bound: queues allow hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tidemill.aws.calls.client import AwsError, Client, lot
from tidemill.errors import Unavailable

LONGEST = 60  # seconds
PATIENCE = 10  # receives after which a message that fails for unknown reasons is treated as poison

Again = Callable[[Mapping[str, Any]], object]  # a record of Lambda's event


def received(record: Mapping[str, Any]) -> int:
    """The number of times that this message has been received, this one included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def pause(times: int, draw: float) -> int:
    """Seconds until a message that has come this many times may come again."""
    return 1 + int(draw * min(2.0 ** min(times, 16), LONGEST))


def sooner(client: Client, queues: str, draw: Callable[[], float] = lot) -> Again:
    """`queues`: the prefix of a queue's URL. If the call fails, the message comes later, like any other."""

    def again(record: Mapping[str, Any]) -> None:
        asked = {
            "QueueUrl": queues + str(record["eventSourceARN"]).rpartition(":")[2],
            "ReceiptHandle": record["receiptHandle"],
            "VisibilityTimeout": pause(received(record), draw()),
        }
        with suppress(AwsError, Unavailable):
            client.once().call("sqs", "ChangeMessageVisibility", asked)

    return again
