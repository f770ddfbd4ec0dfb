"""Views of a run's steps, computed from its journal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.core.journal import (
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    HandedOver,
    Record,
    Resolved,
    Skipped,
    StepDone,
    StepTried,
    Suspended,
)
from tidemill.core.step_keys import is_handed, step_of, unscoped
from tidemill.core.view.values import View, error_view, shown, time_view
from tidemill.duration import iso
from tidemill.limits import VALUE_INLINE
from tidemill.model import ENDED, SIGNAL, AtWork, Failure, Head, StepKind

_REPETITION = re.compile(r":\d+$")


@dataclass(slots=True)
class _Step:
    kind: StepKind
    started_at: int
    status: str
    attempts: int = 1
    ended_at: int | None = None
    until: int | None = None
    output: Any = None
    failure: Failure | None = None


def steps_view(
    records: Sequence[Record],
    head: Head,
    base: str = "",
    inline: int = VALUE_INLINE,
    at_work: Iterable[AtWork] = (),
) -> list[View]:
    """Every step in the journal, in order of first appearance, then those that execute for the first time."""
    steps: dict[str, _Step] = {}
    for seq, record in enumerate(records):
        match record:
            case Resolved() if is_handed(record.key):
                pass  # the step's own record says what that means for it
            case StepDone() | Resolved():
                _end_step(steps, record, shown(head.run_id, seq, record, base, inline))
            case StepTried():
                step = steps.setdefault(record.key, _Step(record.kind, record.started_at, "retrying"))
                step.attempts, step.failure = record.attempt, record.failure
            case Suspended() | HandedOver():
                _block(steps, record.blocked)
            case Claimed():
                _wake(steps, record.at)
            case Ended() | Cancelled() | Skipped():
                _stop(steps, record.at)
                break
            case _:
                pass
    else:
        for work in at_work:
            _run(steps, work)
    return [_step_view(key, step, steps) for key, step in steps.items()]


def _run(steps: dict[str, _Step], work: AtWork) -> None:
    step = steps.setdefault(work.key, _Step("run", work.since, "running"))
    if step.status not in ENDED:
        step.status, step.attempts, step.failure = "running", work.attempt, None


def _end_step(steps: dict[str, _Step], record: StepDone | Resolved, output: Any) -> None:
    started_at = record.started_at if isinstance(record, StepDone) else record.at
    kind = record.kind if isinstance(record, StepDone) else _kind(record)
    step = steps.setdefault(record.key, _Step(kind, started_at, "running"))
    if step.status in ENDED or (isinstance(record, Resolved) and step.kind == "map"):
        return  # the first end counts; a map whose chunks are done has yet to collect them
    step.status = end_status(record)
    step.ended_at, step.output, step.failure = record.at, output, record.failure
    if isinstance(record, StepDone):
        step.kind, step.attempts = record.kind, record.attempts


def end_status(record: StepDone | Resolved) -> str:
    """A step that was never attempted has been skipped."""
    if isinstance(record, StepDone) and record.attempts == 0:
        return "skipped"
    return "completed" if record.failure is None else "failed"


def _kind(record: Resolved) -> StepKind:
    """The kind of a step that was resolved before a record said that it waits."""
    if record.event is not None:
        return "signal" if record.event.name == SIGNAL else "wait"
    return "invoke" if record.value is not None or record.failure is not None else "wait"


def _block(steps: dict[str, _Step], blocked: Iterable[Blocked]) -> None:
    for b in blocked:
        if b.kind == "run" and b.until is None:
            continue  # the run was handed over just before this step began
        status = {"run": "retrying", "sleep": "sleeping"}.get(b.kind, "waiting")
        if is_handed(b.key):
            status = "running"
        step = steps.setdefault(step_of(b.key), _Step(b.kind, b.since, status))
        if step.status not in ENDED:
            step.status, step.until = status, b.until


def _wake(steps: dict[str, _Step], now: int) -> None:
    """Code runs again: every sleep that ends at or before now is over (see `core.state`)."""
    for step in steps.values():
        if step.status == "sleeping" and step.until is not None and step.until <= now:
            step.status, step.ended_at = "completed", step.until


def _stop(steps: dict[str, _Step], at: int) -> None:
    """The run has ended: its unfinished steps stop."""
    for step in steps.values():
        if step.status not in ENDED:
            step.status, step.ended_at = "cancelled", at


def _step_view(key: str, step: _Step, keys: Iterable[str]) -> View:
    return {
        "id": key,
        "name": step_name(key, keys),
        "kind": step.kind,
        "status": step.status,
        "attempts": step.attempts,
        "started_at": iso(step.started_at),
        "ended_at": time_view(step.ended_at),
        "output": step.output,
        "error": error_view(step.failure),
    }


def step_name(key: str, keys: Iterable[str]) -> str:
    """The id in the code: the key without its branch (`p0/2/a`), and `:1` if it repeats one of `keys`."""
    first = _REPETITION.sub("", key)
    return unscoped(first if first in keys else key)
