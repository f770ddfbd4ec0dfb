"""When a message comes again that could not be worked off, on moto's SQS."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidemill.aws.calls.client import Reply, Request
from tidemill.aws.messages.redelivery import LONGEST, pause, sooner
from tidemill_local.testing import moto


@pytest.mark.parametrize(("times", "least", "most"), [(1, 1, 2), (2, 1, 4), (5, 1, 32), (6, 1, 60), (500, 1, 60)])
def test_the_pause_grows_up_to_a_minute_with_full_jitter(times: int, least: int, most: int) -> None:
    assert pause(times, 0.0) == least
    assert most <= pause(times, 0.999_999) <= most + 1 <= LONGEST + 1


class Sent:
    def __init__(self, answer: Reply | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._answer = answer
        self._moto = moto.MotoTransport()

    def __call__(self, request: Request) -> Reply:
        if request.operation != "ChangeMessageVisibility":
            return self._moto(request)
        self.bodies.append(json.loads(request.body))
        return self._answer or self._moto(request)


def received(sent: Sent) -> tuple[Any, str, dict[str, Any]]:
    client, name = moto.client(sent), moto.fresh("again")
    url = moto.create_queue(client, name, {"VisibilityTimeout": "315"})
    client.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": "{}"})
    (message,) = client.call("sqs", "ReceiveMessage", {"QueueUrl": url})["Messages"]
    record = {
        "eventSourceARN": moto.queue_arn(name),
        "receiptHandle": message["ReceiptHandle"],
        "attributes": {"ApproximateReceiveCount": "3"},
    }
    return client, url.removesuffix(name), record


def test_it_is_seen_again_after_the_pause() -> None:
    sent = Sent()
    client, queues, record = received(sent)
    sooner(client, queues, lambda: 0.5)(record)
    (body,) = sent.bodies
    assert body["VisibilityTimeout"] == 5
    assert body["QueueUrl"].startswith(queues)


@pytest.mark.parametrize("answer", [Reply(400, {"x-amzn-errortype": "MessageNotInflight"}, b"{}"), Reply(503, {}, b"")])
def test_where_aws_does_not_do_it_nothing_is_lost(answer: Reply) -> None:
    sent = Sent(answer)
    client, queues, record = received(sent)
    sooner(client, queues)(record)
    assert len(sent.bodies) == 1  # the message comes again by itself, later: that is not worth a second call
