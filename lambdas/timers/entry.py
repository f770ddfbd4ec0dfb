"""The Lambda behind the timers queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws import world
from tidemill.aws.messages.redelivery import sooner
from tidemill_lambdas.observe import logger, metrics, observed
from tidemill_lambdas.timers.forward import forward


@observed
def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    """Processes SQS messages, and returns those to redeliver."""
    records = event["Records"]
    failed = forward(records, world.queue(), sooner(world.client(), world.settings().queues))
    for message_id, reason in failed.items():
        logger.error(f"message {message_id} could not be sent on, and comes again: {reason}")
    metrics.count("TimersForwarded", len(records) - len(failed))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
