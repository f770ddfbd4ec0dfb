"""Metrics as lines of the log (CloudWatch's embedded metric format): no call, no agent, nothing to wait for.

Powertools would write the same line, after 53 ms of imports at every cold start (docs/decisions/0006); in the executor
each message writes one line, and only if there is something to tell. The one dimension is the mill: a metric costs by
its dimensions' values, and three hundred functions would make three hundred of each. Which function it was, and which
run and event, stands beside the figures in the same line, for Logs Insights to group by.
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
    """What one invocation has to tell. Safe enough between threads: lists and counts are only added to."""

    def __init__(
        self,
        mill: str,
        write: Callable[[str], object] = _print,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._mill = mill
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
        """Write what was gathered since the last time. `about`: ids that stand beside the figures."""
        if not self._values:
            return
        values, self._values = self._values, {}
        metrics = [{"Name": name, "Unit": self._units[name]} for name in values]
        directive = {"Namespace": NAMESPACE, "Dimensions": [["mill"]], "Metrics": metrics}
        line: dict[str, Any] = {
            "_aws": {"Timestamp": self._now(), "CloudWatchMetrics": [directive]},
            "mill": self._mill,
            **{name: value for name, value in about.items() if value is not None},
            **{name: each if len(each) > 1 else each[0] for name, each in values.items()},
        }
        self._write(msgspec.json.encode(line).decode() + "\n")
