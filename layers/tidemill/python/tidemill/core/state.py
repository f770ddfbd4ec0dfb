"""Folds a journal: `fold(records)` is the state of a run, and nothing else is.

Two rules are worth knowing before you read on.

*A sleep needs no record to end.* Its end is in the `Suspended` record, and the next `Claimed` record has the time at
which code began to run again: every sleep that ends at or before that time is over. A replay of the same records
always sees the same sleeps over.

*A claim that follows a claim is a crash.* Executors leave a claim by `Suspended`, `HandedOver` or a terminal record;
an executor without one of these records died. `crashes` counts those since the last sign of progress. The next
executor charges them as failed attempts to the unfinished steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from tidemill.core.flow import collect
from tidemill.core.journal import (
    FORMAT,
    Admitted,
    AttemptFailed,
    Begun,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    Gathered,
    HandedOver,
    Patched,
    Record,
    Resolved,
    Skipped,
    Started,
    StepDone,
    StepTried,
    Suspended,
    Validated,
    WindowSet,
)
from tidemill.core.step_keys import is_handed
from tidemill.errors import JournalError
from tidemill.limits import MESSAGE_DELAY
from tidemill.model import Event, RunStatus


class Taken(msgspec.Struct, frozen=True, array_like=True):
    """An event that resolved a wait: the number of the record, and the step."""

    event_id: str
    seq: int
    key: str
    at: int  # when the event took effect
    after: int | None  # the wait looked for events after this time


class Tail(msgspec.Struct):
    """The state that the latest records of a run give, from any record on: enough to decide the next action.

    `seq` is the number of the last record in it (-1: none). Who needs the run's events needs a `RunState`, which holds
    the whole journal: a tail cannot be passed in its place.
    """

    seq: int = -1
    started: Started | None = None
    claim: Claimed | None = None
    first_claim: Claimed | None = None
    suspended: Suspended | None = None
    done: dict[str, StepDone] = {}
    tried: dict[str, StepTried] = {}
    blocked: dict[str, Blocked] = {}
    resolved: dict[str, Resolved] = {}
    taken: dict[str, list[Taken]] = {}  # by digest of the wait, in order
    failed: AttemptFailed | None = None
    ready: bool = False  # a blocked step was resolved: the run can go on before its due time
    crashes: int = 0
    terminal: Ended | Cancelled | Skipped | None = None
    end: int | None = None  # the number of the terminal record
    timer: int = 0  # the latest time for which a suspension needed a schedule
    admitted: Admitted | None = None
    validated: Validated | None = None
    patched: dict[str, Patched] = {}  # by the change's id
    gathered: list[Gathered] = []
    closed: bool = False  # it takes no more events, though nothing else has been decided on it yet
    overtaken: Claimed | None = None  # the claim under which code ran when the run was cancelled
    begun: dict[str, int] = {}  # maps that were started and not collected yet, with their number of chunks
    completion_order: dict[str, int] = {}  # the order in which the code has seen its steps complete
    untold: set[str] = set()  # completed steps that no execution of this attempt has seen
    executed: bool = False  # an execution of this attempt ended without a crash

    def hear(self, key: str) -> None:
        if not is_handed(key):
            self.untold.add(key)
        if key in self.completion_order:  # resolved, then done: rare
            del self.completion_order[key]
            self.completion_order = {each: number for number, each in enumerate(self.completion_order)}
        self.completion_order[key] = len(self.completion_order)

    @property
    def attempt(self) -> int:
        """Which attempt of the function runs now or next, from 1."""
        return self.failed.attempt + 1 if self.failed else 1

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.seq += 1
            if self.terminal is None:  # the first terminal record decides; what comes after changes nothing
                _FOLDS[type(record)](self, record)


class RunState(Tail):
    """The folded journal of one run, from its first record on (a snapshot may stand for the first ones)."""

    @property
    def birth(self) -> Started:
        if self.started is None:
            raise JournalError("the journal does not begin with a Started record")
        return self.started

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that the code receives, oldest first."""
        if not self.gathered:
            return self.birth.events
        more = [record.event for record in self.gathered if record.event is not None]
        all_ = (*self.birth.events, *more)
        return collect.given(all_, self.gathered[0].last)


def fold(records: Iterable[Record]) -> RunState:
    state = RunState()
    state.add(records)
    return state


def status_of(terminal: Ended | Cancelled | Skipped) -> RunStatus:
    """The status of a run that has ended like this."""
    if isinstance(terminal, Ended):
        return terminal.status
    return "cancelled" if isinstance(terminal, Cancelled) else "skipped"


def suspended_status(blocked: Iterable[Blocked]) -> RunStatus:
    """The status of a run with these blocked steps: waiting, sleeping, or between two attempts of a step."""
    kinds = {b.kind for b in blocked}
    if kinds & {"wait", "signal", "invoke", "map"}:
        return "waiting"
    return "sleeping" if "sleep" in kinds else "running"


def _started(state: Tail, record: Started) -> None:
    if record.format > FORMAT:
        raise JournalError(
            f"this run's journal has format {record.format}, newer than this version of Tidemill knows "
            f"({FORMAT}); run it with the version that wrote it"
        )
    state.started = record


def _claimed(state: Tail, record: Claimed) -> None:
    if state.claim is not None:
        state.crashes += 1
    state.claim = record
    state.first_claim = state.first_claim or record
    state.suspended = None
    state.ready = False
    over = [b for b in state.blocked.values() if b.kind == "sleep" and b.until is not None and b.until <= record.at]
    for b in sorted(over, key=lambda b: b.until or 0):
        state.hear(b.key)
        del state.blocked[b.key]
        state.done[b.key] = StepDone(b.key, "sleep", b.since, b.until or record.at)


def _step_done(state: Tail, record: StepDone) -> None:
    if record.key not in state.done:
        state.done[record.key] = record
        state.hear(record.key)
    state.tried.pop(record.key, None)
    state.blocked.pop(record.key, None)
    state.begun.pop(record.key, None)
    state.crashes = 0


def _step_tried(state: Tail, record: StepTried) -> None:
    state.tried[record.key] = record
    state.crashes = 0


def _attempt_failed(state: Tail, record: AttemptFailed) -> None:
    state.failed = record
    state.claim = None
    state.crashes = 0
    state.untold = {key for key in state.completion_order if not is_handed(key)}
    state.executed = False


def _suspended(state: Tail, record: Suspended) -> None:
    state.claim = None
    state.suspended = record
    state.ready = False  # an executor that suspends has seen all earlier records
    state.crashes = 0
    state.untold = set()
    state.executed = True
    known = state.blocked if record.more else {}
    state.blocked = {**known, **{b.key: b for b in record.blocked}}
    for key in record.gone:
        state.blocked.pop(key, None)
    if record.due is not None and record.due - record.at > MESSAGE_DELAY:
        state.timer = max(state.timer, record.due)


def _handed_over(state: Tail, record: HandedOver) -> None:
    state.claim = None
    state.blocked.update((b.key, b) for b in record.blocked)
    state.ready = True
    state.crashes = 0
    state.untold = set(record.untold)
    state.executed = True


def _resolved(state: Tail, record: Resolved) -> None:
    if record.key in state.resolved or record.key in state.done:
        return
    state.resolved[record.key] = record
    state.hear(record.key)
    state.blocked.pop(record.key, None)
    state.ready = True
    if record.event is not None:
        state.taken.setdefault(record.wait, []).append(taken_by(record, record.event, state.seq))


def taken_by(record: Resolved, event: Event, seq: int) -> Taken:
    return Taken(event.id, seq, record.key, event.effective_at, record.after)


def _admitted(state: Tail, record: Admitted) -> None:
    state.admitted = record


def _gathered(state: Tail, record: Gathered) -> None:
    if record.event is not None:
        state.gathered.append(record)
    state.closed = state.closed or record.full


def _window_set(state: Tail, record: WindowSet) -> None:
    state.closed = state.closed or not record.open


def _validated(state: Tail, record: Validated) -> None:
    state.validated = state.validated or record


def _patched(state: Tail, record: Patched) -> None:
    state.patched.setdefault(record.id, record)


def _begun(state: Tail, record: Begun) -> None:
    if record.key not in state.done:
        state.begun[record.key] = record.parts


def _terminal(state: Tail, record: Ended | Cancelled | Skipped) -> None:
    state.overtaken = state.claim if isinstance(record, Cancelled) else None
    state.terminal = record
    state.end = state.seq
    state.claim = None


_FOLDS: dict[type, Callable[[Tail, Any], None]] = {
    Started: _started,
    Claimed: _claimed,
    StepDone: _step_done,
    StepTried: _step_tried,
    AttemptFailed: _attempt_failed,
    Suspended: _suspended,
    HandedOver: _handed_over,
    Resolved: _resolved,
    Ended: _terminal,
    Cancelled: _terminal,
    Skipped: _terminal,
    Admitted: _admitted,
    Gathered: _gathered,
    WindowSet: _window_set,
    Validated: _validated,
    Patched: _patched,
    Begun: _begun,
}
