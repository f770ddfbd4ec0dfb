"""The Lambda of the events queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws.messages.redelivery import sooner
from tidemill.aws.world import client, settings, world
from tidemill_lambdas import batch, events
from tidemill_lambdas.observe import observed, rejected

_MARGIN = 10_000  # milliseconds reserved to finish the current message


@observed
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    def stopping() -> bool:
        return bool(context.get_remaining_time_in_millis() < _MARGIN)

    def work(message: batch.Message) -> None:
        url = settings().queues + str(message["eventSourceARN"]).rpartition(":")[2]

        def later(body: str) -> None:
            client().call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": body})

        def delay(body: str, seconds: int) -> None:
            sent = {"QueueUrl": url, "MessageBody": body, "DelaySeconds": seconds}
            client().call("sqs", "SendMessage", sent)

        events.work(message["body"], world(), later=later, stopping=stopping, rejected=rejected, delay=delay)

    return batch.each(event, work, sooner(client(), settings().queues))
