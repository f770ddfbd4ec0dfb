"""The lines of `tidemill dev` about records: failed attempts, sleeps, waits and ends, with time and run.

A busy server counts most of it and shows little, so a line is made when it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from tidemill.core.journal import AttemptFailed, Blocked, Ended, Record, StepDone, StepTried, Suspended
from tidemill.model import PLATFORM, Event, Failure, Head
from tidemill_local.console.stack import stack_end

SHORT = 8  # characters of the short id of a run
_TEXT = 200
_DAY = 86_400_000
_WAITS = {"wait": "event", "signal": "signal", "invoke": "the end of", "map": "the parts of a map"}


class Said(NamedTuple):
    """`kind`: its name in counts when there are too many lines. `line` makes the text."""

    kind: str
    line: Callable[[], str]

    @property
    def text(self) -> str:
        return self.line()


def of_event(event: Event) -> Said | None:
    """The line of an event; the platform's own events have none, because the records are shown."""
    if event.name.startswith(PLATFORM):
        return None
    return Said("events", partial(_received, event))


def of_record(head: Head, record: Record, since: int) -> Iterator[Said]:
    """`since`: when the executor that appended it got the run; steps blocked before that were shown."""
    part = head.parent is not None and head.parent.chunk is not None  # a chunk of a map: its run is shown
    match record:
        case StepDone(failure=None):  # first: nearly all records are one
            pass
        case StepDone() | StepTried() | AttemptFailed():
            yield Said("failed attempts", partial(_failed, head, record))
        case Suspended() if not part:
            for each in record.blocked:
                if _is_news(each, since):
                    yield Said("sleeps" if each.kind == "sleep" else "waits", partial(_rest, head, record.at, each))
        case Ended() if not part:
            yield Said(record.status, partial(_end, head, record))
        case _:
            pass


def _received(event: Event) -> str:
    return f"{clock(event.received_at)} → {event.name}  {event.id}"


def _is_news(blocked: Blocked, since: int) -> bool:
    return blocked.since >= since and blocked.kind != "run"  # a step between attempts was shown when it failed


def _rest(head: Head, at: int, blocked: Blocked) -> str:
    until = f" until {_next(blocked.until, at)}" if blocked.until is not None else ""
    if blocked.kind == "sleep":
        return f"{_about(head, at, '…')}  {blocked.key}  sleeps{until}"
    name = f" {blocked.name}" if blocked.name and blocked.kind != "map" else ""
    return f"{_about(head, at, '…')}  {blocked.key}  waits for {_WAITS[blocked.kind]}{name}{until}"


def _failed(head: Head, record: StepDone | StepTried | AttemptFailed) -> str:
    failure, again = record.failure, ""
    assert failure is not None
    if not isinstance(record, StepDone):
        again = f"  again at {_next(record.retry_at, record.at)}"
    first = f"{_about(head, record.at, '↻' if again else '✗')}  {_which(record)}  {_error(failure)}{again}"
    return "\n".join([first, *stack_end(failure.type, failure.stack)])


def _which(record: StepDone | StepTried | AttemptFailed) -> str:
    match record:
        case StepDone():
            tries = f"after {record.attempts} attempts" if record.attempts > 1 else "at once"
            return f"{record.key}  failed {tries}"
        case StepTried():
            return f"{record.key}  attempt {record.attempt}"
        case AttemptFailed():
            return f"attempt {record.attempt}"


def _end(head: Head, ended: Ended) -> str:
    took = _took(ended.at - (head.started_at or head.created_at))
    if ended.failure is None:
        return f"{_about(head, ended.at, '✓')}  {took}"
    told = ended.failure.step_id is not None  # shown in its step's line
    stack = [] if told else stack_end(ended.failure.type, ended.failure.stack)
    return "\n".join([f"{_about(head, ended.at, '✗')}  {took}  {_error(ended.failure)}", *stack])


def _about(head: Head, at: int, mark: str) -> str:
    return f"{clock(at)} {mark} {head.function_id}  {head.run_id[-SHORT:]}"


def _error(failure: Failure) -> str:
    return " ".join(f"{failure.type}: {failure.message}".split())[:_TEXT]


def clock(ms: int) -> str:
    """The time of day, in UTC."""
    return f"{datetime.fromtimestamp(ms // 1_000, UTC):%H:%M:%S}"


def _next(ms: int, at: int) -> str:
    """A later time, with its date unless that is today's."""
    date = "" if ms // _DAY == at // _DAY else f"{datetime.fromtimestamp(ms // 1_000, UTC):%Y-%m-%d} "
    return f"{date}{clock(ms)}, in {_took(ms - at)}"


def _took(ms: int) -> str:
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 100_000:
        return f"{ms / 1_000:.1f} s".replace(".0 s", " s")
    if ms < 100 * 60_000:
        return f"{ms // 60_000} min"
    return f"{ms / 3_600_000:.0f} h" if ms < 100 * 3_600_000 else f"{ms // 86_400_000} d"
