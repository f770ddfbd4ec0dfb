"""Logs and metrics of the platform's own Lambdas: JSON log lines, and metrics as log lines.

    @observed
    def handler(event, context): ...

The executor in users' Lambdas does less (`tidemill.aws.function.metrics`), because users pay for each import there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from tidemill.aws.function.metrics import NAMESPACE
from tidemill.model import Event

Handler = Callable[[Mapping[str, Any], Any], Any]

logger = Logger(service="tidemill")


class Counts:
    """The metrics of one invocation; their only dimension is the deployment."""

    def __init__(self) -> None:
        self._metrics = EphemeralMetrics(namespace=NAMESPACE)
        self._any = False

    def count(self, name: str, by: int = 1) -> None:
        self._add(name, MetricUnit.Count, by)

    def time(self, name: str, ms: float) -> None:
        self._add(name, MetricUnit.Milliseconds, max(ms, 0))

    def flush(self) -> None:
        if self._any:
            self._metrics.flush_metrics()
        self._any = False

    def _add(self, name: str, unit: MetricUnit, value: float) -> None:
        if not self._any:
            self._metrics.add_dimension("mill", os.environ.get("TIDEMILL_NAME", "unnamed"))
        self._any = True
        self._metrics.add_metric(name, unit, value)


metrics = Counts()


def observed(handler: Handler) -> Handler:
    """Every log line of this handler has the invocation's ids; its metrics are written at the end."""

    @wraps(handler)
    def run(event: Mapping[str, Any], context: Any) -> Any:
        logger.append_keys(request_id=getattr(context, "aws_request_id", None))
        try:
            return handler(event, context)
        except Exception:
            logger.exception("the invocation failed")
            raise
        finally:
            metrics.flush()

    return run


def rejected(event: Event) -> None:
    """Tell of an event that was kept as rejected."""
    metrics.count("EventsRejected")
    reason = event.rejected.error if event.rejected is not None else ""
    logger.warning("an event was rejected: %s", reason, extra={"event_id": event.id, "event_name": event.name})
