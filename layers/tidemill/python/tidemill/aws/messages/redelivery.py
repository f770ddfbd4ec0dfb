"""When a message comes again that could not be worked off.

By itself it comes when its visibility timeout ends: after the whole time of a Lambda, as if its process had died. Where
the process lives and knows that the cause passes (a throttled table), it has the message come sooner: after a second or
two at first, at most a minute later, with full jitter. So what an hour of overload has turned away is done within
minutes of its end. How often a message comes bounds nothing then: queues allow for hundreds of receives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from tidemill.aws.calls.client import AwsError, Client, lot
from tidemill.errors import Unavailable

LONGEST = 60  # seconds
PATIENCE = 10  # receives after which what is not known to pass is taken for poison

Again = Callable[[Mapping[str, Any]], object]  # a record of Lambda's event


def received(record: Mapping[str, Any]) -> int:
    """How often this message has come, this time included."""
    return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))


def pause(times: int, draw: float) -> int:
    """Seconds until a message may come again that has come so many times."""
    return 1 + int(draw * min(2.0 ** min(times, 16), LONGEST))


def sooner(client: Client, queues: str, draw: Callable[[], float] = lot) -> Again:
    """`queues`: what a queue's URL begins with. Where AWS does not do it the message comes later, as any other."""

    def again(record: Mapping[str, Any]) -> None:
        asked = {
            "QueueUrl": queues + str(record["eventSourceARN"]).rpartition(":")[2],
            "ReceiptHandle": record["receiptHandle"],
            "VisibilityTimeout": pause(received(record), draw()),
        }
        with suppress(AwsError, Unavailable):
            client.once().call("sqs", "ChangeMessageVisibility", asked)

    return again
