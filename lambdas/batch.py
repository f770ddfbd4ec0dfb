"""Processes a batch of SQS messages one by one: only those that fail come again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tidemill.errors import Unavailable
from tidemill_lambdas.observe import logger

Message = Mapping[str, Any]  # a record of the event: "messageId", "body", "eventSourceARN", "attributes"


def each(
    event: Mapping[str, Any], work: Callable[[Message], None], again: Callable[[Message], object]
) -> dict[str, Any]:
    """The answer that names the messages whose `work` raised; the event source must report batch item failures.

    `again`: has a message come again soon, for a transient cause.
    """
    failed: list[str] = []
    for message in event["Records"]:
        try:
            work(message)
        except Unavailable as error:
            logger.error("a message comes again soon: %s", error, extra={"message_id": message["messageId"]})
            again(message)
            failed.append(message["messageId"])
        except Exception:
            logger.exception("a message comes again", extra={"message_id": message["messageId"]})
            failed.append(message["messageId"])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
