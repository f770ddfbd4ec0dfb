"""A run for tests: a live view of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tidemill import values
from tidemill.core.journal import Cancelled, Ended, Record, Resolved, Skipped, StepDone
from tidemill.core.state import fold
from tidemill.core.view.runs import journal_view, steps_view
from tidemill.duration import parse_time
from tidemill.engine.drive.steps import outcome
from tidemill.engine.intake.rerun import rerun
from tidemill.engine.runs import end as finish
from tidemill.model import SIGNAL, Failure, Head
from tidemill.sdk.event_view import EventView, view

if TYPE_CHECKING:
    from tidemill_local.testing.machine import Machine


@dataclass(frozen=True)
class RunError:
    """Why a run or a step failed. `stack` is the part of the traceback in the user's code."""

    type: str
    message: str
    stack: str
    step_id: str | None

    def __str__(self) -> str:
        where = f" (in step {self.step_id!r})" if self.step_id else ""
        return f"{self.type}: {self.message}{where}"

    def __getitem__(self, field: str) -> str | None:
        """The fields by name, as in the API."""
        found: str | None = getattr(self, field)
        return found


@dataclass(frozen=True)
class RunStep:
    """A step in the journal. `output` is the step's result in the code; `attempts` is a count."""

    id: str
    name: str
    kind: str
    status: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    output: Any
    error: RunError | None


class Run:
    """One run. Every attribute shows the current state."""

    def __init__(self, machine: Machine, run_id: str) -> None:
        self._machine = machine
        self.id = run_id

    @property
    def run_id(self) -> str:
        return self.id

    @property
    def function_id(self) -> str:
        return self._head.function_id

    @property
    def status(self) -> str:
        """`scheduled`, `running`, `sleeping`, `waiting`, `completed`, `failed`, `cancelled` or `skipped`.

        A text, because a type checker would take a second assert on it for one that cannot hold.
        """
        return self._head.status

    @property
    def reason(self) -> str | None:
        """Why it was skipped or cancelled, or is held."""
        return self._head.reason

    @property
    def attempt(self) -> int:
        """The function's attempt, from 1; steps have their own."""
        return self._head.attempt

    @property
    def output(self) -> Any:
        """The function's result as a Python value; None unless it has completed."""
        end = self._end
        return values.decode(end.value) if isinstance(end, Ended) and end.value is not None else None

    @property
    def error(self) -> RunError | None:
        """Why the run failed; None unless it has."""
        end = self._end
        return _error(end.failure) if isinstance(end, Ended) else None

    @property
    def event(self) -> EventView:
        """The event that started it."""
        return view(fold(self._records).events[0])

    @property
    def event_ids(self) -> tuple[str, ...]:
        return self._head.event_ids

    @property
    def user(self) -> str | None:
        return self._head.user

    @property
    def parent_run_id(self) -> str | None:
        parent = self._head.parent
        return parent.run_id if parent is not None else None

    @property
    def created_at(self) -> datetime:
        return _moment(self._head.created_at)

    @property
    def started_at(self) -> datetime | None:
        return _moment_or_none(self._head.started_at)

    @property
    def ended_at(self) -> datetime | None:
        return _moment_or_none(self._head.ended_at)

    @property
    def steps(self) -> list[RunStep]:
        """The steps, in the order of their first record."""
        records = self._records
        outputs, errors = _outcomes(records)
        return [_step(shown, outputs, errors) for shown in steps_view(records, self._head)]

    def step(self, id: str) -> RunStep:
        """The step with this id: `pay`, used again `pay:1`, in a branch `p0/1/pay` (or `pay` where that is unique)."""
        steps = self.steps
        found = [s for s in steps if s.id == id] or [s for s in steps if s.name == id]
        if len(found) == 1:
            return found[0]
        have = ", ".join(repr(s.id) for s in steps) or "none so far"
        problem = "no step" if not found else f"{len(found)} steps"
        raise LookupError(f"{self!r} has {problem} {id!r}; its steps: {have}")

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Every record, as in the API."""
        return journal_view(self._records)

    def cancel(self, reason: str = "cancelled by the test") -> bool:
        """Cancel it. False: it had ended already."""
        self._machine.pass_a_moment()
        cancelled = finish.cancel(self._machine.world, self.id, reason)
        self._machine.settle()
        return cancelled

    def rerun(self, *, from_step: str | None = None, input: Any = None) -> Run:
        """Run it again, from the start or from a step, with its event's data or other data. Returns the new run."""
        data = values.encode(input, "input") if input is not None else None
        self._machine.pass_a_moment()
        run_id = rerun(self._machine.world, self.id, from_step, data)
        self._machine.settle()
        return Run(self._machine, run_id)

    def __repr__(self) -> str:
        head = self._head
        error = self.error
        about = error if error is not None else head.reason
        return f"<Run {head.function_id} {head.status}{f': {about}' if about else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id and other._machine is self._machine

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def _head(self) -> Head:
        head = self._machine.world.runs.head(self.id)
        if head is None:
            raise LookupError(f"no run has the id {self.id!r}")
        return head

    @property
    def _records(self) -> list[Record]:
        return self._machine.world.runs.read(self.id)

    @property
    def _end(self) -> Ended | Cancelled | Skipped | None:
        return fold(self._records).terminal


def _step(shown: dict[str, Any], outputs: dict[str, Any], errors: dict[str, RunError]) -> RunStep:
    ended_at = shown["ended_at"]
    return RunStep(
        id=shown["id"],
        name=shown["name"],
        kind=shown["kind"],
        status=shown["status"],
        attempts=shown["attempts"],
        started_at=_moment(parse_time(shown["started_at"])),
        ended_at=_moment(parse_time(ended_at)) if ended_at is not None else None,
        output=outputs.get(shown["id"]),
        error=errors.get(shown["id"]) or (RunError(**shown["error"]) if shown["error"] is not None else None),
    )


def _outcomes(records: Sequence[Record]) -> tuple[dict[str, Any], dict[str, RunError]]:
    """The result of each step that has ended, or why it failed."""
    outputs: dict[str, Any] = {}
    errors: dict[str, RunError] = {}
    for record in records:
        if not isinstance(record, StepDone | Resolved) or record.key in outputs or record.key in errors:
            continue
        if record.failure is not None:
            errors[record.key] = RunError(**_fields(record.failure))
        elif isinstance(record, StepDone) or record.value is not None or record.event is not None:
            outputs[record.key] = _given(record)
    return outputs, errors


def _given(record: StepDone | Resolved) -> Any:
    if isinstance(record, Resolved) and record.event is not None:
        if record.event.name == SIGNAL:
            return record.event.data["data"]
        event = view(record.event)
        return (record.label, event) if record.label else event
    return outcome(record)


def _error(failure: Failure | None) -> RunError | None:
    return RunError(**_fields(failure)) if failure is not None else None


def _fields(failure: Failure) -> dict[str, Any]:
    return {
        "type": failure.type,
        "message": failure.message,
        "stack": failure.stack,
        "step_id": failure.step_id,
    }


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def _moment_or_none(ms: int | None) -> datetime | None:
    return _moment(ms) if ms is not None else None
