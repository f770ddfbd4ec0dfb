"""Writes metrics as log lines (CloudWatch's embedded metric format), without calls or an agent.

Powertools would write the same line, after 53 ms of imports at every cold start (docs/decisions/0006); in the executor
each message writes at most one line. The only dimension is the deployment: a metric costs by the values of its
dimensions, and three hundred functions would make three hundred of each. The same line has the ids of the function, run
and event, so that Logs Insights can group by them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

NAMESPACE = "Tidemill"
_MOST = 100  # values of one metric in one line


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


class Metrics:
    """The metrics of one invocation. Safe enough between threads: lists and counts only grow."""

    def __init__(
        self,
        deployment: str,
        write: Callable[[str], object] = _print,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._deployment = deployment
        self._write = write
        self._now = now
        self._values: dict[str, list[float]] = {}
        self._units: dict[str, str] = {}

    def count(self, name: str, by: int = 1) -> None:
        self._units[name] = "Count"
        values = self._values.setdefault(name, [0])
        values[0] += by

    def time(self, name: str, ms: int) -> None:
        """A duration; CloudWatch makes percentiles of them."""
        self._units[name] = "Milliseconds"
        values = self._values.setdefault(name, [])
        if len(values) < _MOST:
            values.append(max(ms, 0))

    def flush(self, **about: str | None) -> None:
        """Write the metrics since the last flush. `about`: ids in the same line."""
        if not self._values:
            return
        values, self._values = self._values, {}
        metrics = [{"Name": name, "Unit": self._units[name]} for name in values]
        directive = {"Namespace": NAMESPACE, "Dimensions": [["mill"]], "Metrics": metrics}
        line: dict[str, Any] = {
            "_aws": {"Timestamp": self._now(), "CloudWatchMetrics": [directive]},
            "mill": self._deployment,
            **{name: value for name, value in about.items() if value is not None},
            **{name: each if len(each) > 1 else each[0] for name, each in values.items()},
        }
        self._write(msgspec.json.encode(line).decode() + "\n")
