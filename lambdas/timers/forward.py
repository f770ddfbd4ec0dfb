"""Forwards the messages of schedules, which fire one to two minutes early, with the rest of the time as delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError
from tidemill.aws.messages.queue import SqsQueue
from tidemill.aws.messages.redelivery import Again
from tidemill.errors import Unavailable


class _Wake(msgspec.Struct, frozen=True):
    look: str
    function_id: str
    at: int


_decode = msgspec.json.Decoder(_Wake).decode


def forward(records: Sequence[Mapping[str, Any]], queue: SqsQueue, again: Again) -> dict[str, str]:
    """Forward the messages. Returns the ids of those that failed, each with the reason; these come again."""
    failed: dict[str, str] = {}
    for record in records:
        try:
            wake = _decode(record["body"])
            queue.remind(wake.look, wake.function_id, wake.at)
        except msgspec.DecodeError as error:
            failed[record["messageId"]] = f"no schedule of Tidemill sent this: {error}"
        except AwsError as error:
            failed[record["messageId"]] = str(error)
        except Unavailable as error:
            failed[record["messageId"]] = str(error)
            again(record)
    return failed
