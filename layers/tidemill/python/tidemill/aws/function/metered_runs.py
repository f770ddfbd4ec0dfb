"""The executor's run store: counts the appends of the current run as metrics, and reports a poison message.

A run whose process died at every attempt is not an ordinary failure: something in it kills the process, and a person
has to look. The current message goes to the dead-letter queue before the run's end is written, so that no crash between
the two can lose it; doing so twice is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.aws.function.metrics import Metrics
from tidemill.core.journal import Ended, Record, StepDone
from tidemill.model import Failure, HeadChange
from tidemill.ports import Appended, Lost

if TYPE_CHECKING:
    from tidemill.ports import RunStore

CRASHED = "Crashed"  # the type of the failure by which the engine names a process that died

Poison = Callable[[str, str], None]  # run id, reason


class WatchedRuns:
    """A RunStore that changes only `append` of another store."""

    def __init__(self, runs: RunStore, metrics: Metrics) -> None:
        self._runs = runs
        self._metrics = metrics
        self._poison: Poison | None = None

    def hold(self, poison: Poison) -> None:
        """Set what happens to a poison message."""
        self._poison = poison

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        for record in records:
            if isinstance(record, Ended) and self._poison is not None and (failure := _crash(record)) is not None:
                self._poison(run_id, failure.message)
        found = self._runs.append(run_id, seq, records, change)
        if isinstance(found, Appended):
            for record in records:
                self._count(record)
        return found

    def _count(self, record: Record) -> None:
        if isinstance(record, StepDone) and record.kind == "run":
            self._metrics.time("StepDuration", record.at - record.started_at)
        elif isinstance(record, Ended):
            self._metrics.count("RunsCompleted" if record.status == "completed" else "RunsFailed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)


def _crash(ended: Ended) -> Failure | None:
    return ended.failure if ended.failure is not None and ended.failure.type == CRASHED else None
