"""Puts messages that cannot be processed into the function's dead-letter queue, with the reason.

SQS itself moves a message that failed too often. Here the engine knows earlier, and knows why.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import Client
from tidemill.aws.settings import DEAD, Settings

_CHARS = 1_000  # of a reason

DeadLetters = Callable[[str, str, dict[str, str]], None]  # function id, the message's body, what is said about it


def bury(client: Client, queues: str, queue: str, body: str, reason: str) -> None:
    """Put a message of the queue with this name into its dead-letter queue; its function may be unknown. `queues`: as
    in the settings."""
    attributes = {"reason": {"DataType": "String", "StringValue": _line(reason)}}
    sent = {"QueueUrl": queues + queue + DEAD, "MessageBody": body, "MessageAttributes": attributes}
    client.call("sqs", "SendMessage", sent)


def dead_letters(client: Client, settings: Settings) -> DeadLetters:
    """The attributes of the message: `function_id`, `reason` and, where it is about a run, `run_id`."""

    def put(function_id: str, body: str, about: dict[str, str]) -> None:
        attributes = {"function_id": function_id, **about}
        client.call(
            "sqs",
            "SendMessage",
            {
                "QueueUrl": settings.dead_letter_url(function_id),
                "MessageBody": body,
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": _line(value)}
                    for name, value in attributes.items()
                    if value
                },
            },
        )

    return put


def _line(text: str) -> str:
    """The text without control characters, which an attribute may not contain."""
    return "".join(sign if sign.isprintable() else " " for sign in text[:_CHARS])
