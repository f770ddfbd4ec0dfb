"""Views of runs, journals and steps for the API: plain JSON values, times in ISO 8601.

`base` is the URL before the path of values that are too large to be shown inline: `https://host`.
A record is the truth and the head follows it, so if both are at hand the record decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs

from tidemill.core.journal import (
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
    Terminal,
    Validated,
    WindowSet,
)
from tidemill.core.state import status_of
from tidemill.core.step_keys import step_of
from tidemill.core.view.steps import end_status, steps_view
from tidemill.core.view.values import View, error_view, shown, time_view
from tidemill.duration import iso
from tidemill.limits import PAGE_MOST, VALUE_INLINE
from tidemill.model import AtWork, Event, Head, Wait, event_fields

__all__ = ["event_view", "journal_view", "run_view", "steps_view", "whole_run_view"]


def event_view(event: Event) -> View:
    """`ts` as it was sent, milliseconds; `received_at` in ISO."""
    rejected = None if event.rejected is None else structs.asdict(event.rejected)
    return {
        **event_fields(event),
        "received_at": iso(event.received_at),
        "data_context": event.data_context,
        "rejected": rejected,
    }


def run_view(head: Head, records: Sequence[Record] = (), base: str = "", inline: int = VALUE_INLINE) -> View:
    """A run, as lists show it. It reads only the terminal record: pass it if the run has ended."""
    found = next(((seq, record) for seq, record in enumerate(records) if isinstance(record, Terminal)), None)
    status, reason, ended_at, output, failure = head.status, head.reason, head.ended_at, None, None
    if found is not None:
        seq, end = found
        status, ended_at = status_of(end), end.at
        reason = None if isinstance(end, Ended) else end.reason
        output = shown(head.run_id, head.end if head.end is not None else seq, end, base, inline)
        failure = end.failure if isinstance(end, Ended) else None
    return {
        "run_id": head.run_id,
        "function_id": head.function_id,
        "version": head.version,
        "status": status,
        "reason": reason,
        "event_ids": list(head.event_ids),
        "user": head.user,
        "attempt": head.attempt,
        "parent_run_id": head.parent.run_id if head.parent is not None else None,
        "rerun_of": head.rerun_of,
        "created_at": iso(head.created_at),
        "started_at": time_view(head.started_at if head.started_at is not None else _began(records)),
        "ended_at": time_view(ended_at),
        "output": output,
        "error": error_view(failure),
    }


def whole_run_view(
    head: Head,
    records: Sequence[Record],
    base: str = "",
    inline: int = VALUE_INLINE,
    at_work: Iterable[AtWork] = (),
) -> View:
    """One run, with the first of its journal and its steps; `more`: there are others. `records` are all records.

    `at_work`: the steps that are executing.
    """
    journal, steps = journal_view(records), steps_view(records, head, base, inline, at_work)
    return {
        **run_view(head, records, base, inline),
        "journal": journal[:PAGE_MOST],
        "steps": steps[:PAGE_MOST],
        "more": max(len(journal), len(steps)) > PAGE_MOST,
    }


def _began(records: Iterable[Record]) -> int | None:
    return next((record.at for record in records if isinstance(record, Claimed)), None)


# --- journal -------------------------------------------------------------------------------------------


def journal_view(records: Sequence[Record]) -> list[View]:
    """Every record in order: `seq`, `type`, `at`, and its fields. Values are in the steps and the run."""
    return [
        {"seq": seq, "type": _TYPES[type(record)], "at": iso(record.at), **_details(record)}
        for seq, record in enumerate(records)
    ]


_TYPES: dict[type, str] = {
    Started: "started",
    Claimed: "claimed",
    StepDone: "step_done",
    StepTried: "step_tried",
    AttemptFailed: "attempt_failed",
    Suspended: "suspended",
    HandedOver: "handed_over",
    Resolved: "resolved",
    Ended: "ended",
    Cancelled: "cancelled",
    Skipped: "skipped",
    Admitted: "admitted",
    Gathered: "gathered",
    WindowSet: "window_set",
    Begun: "begun",
    Validated: "validated",
    Patched: "patched",
}


def _details(record: Record) -> View:
    match record:
        case Started():
            parent = record.parent.run_id if record.parent is not None else None
            events = [event.id for event in record.events]
            return {
                "event_ids": events,
                "version": record.version,
                "parent_run_id": parent,
                "notes": list(record.notes),
            }
        case Claimed():
            return {"by": record.by, "until": time_view(record.until), "version": record.version}
        case StepDone():
            return {
                "step": record.key,
                "kind": record.kind,
                "status": end_status(record),
                "started_at": iso(record.started_at),
                "attempts": record.attempts,
                "error": error_view(record.failure),
            }
        case StepTried():
            return {
                "step": record.key,
                "kind": record.kind,
                "started_at": iso(record.started_at),
                "attempt": record.attempt,
                "error": error_view(record.failure),
                "retry_at": time_view(record.retry_at),
            }
        case AttemptFailed():
            error = error_view(record.failure)
            return {"attempt": record.attempt, "error": error, "retry_at": time_view(record.retry_at)}
        case Suspended():
            return {"due": time_view(record.due), "blocked": _blocked_view(record.blocked)}
        case HandedOver():
            return {"blocked": _blocked_view(record.blocked)}
        case Resolved():
            event_id = record.event.id if record.event is not None else None
            return {
                "step": step_of(record.key),
                "event_id": event_id,
                "label": record.label or None,
                "error": error_view(record.failure),
            }
        case Ended():
            return {"status": record.status, "error": error_view(record.failure)}
        case Cancelled() | Skipped():
            return {"reason": record.reason}
        case Admitted():
            keys = [place.label for place in record.admission.places if place.label]
            return {"begin": time_view(record.begin), "rank": iso(record.admission.rank), "keys": keys}
        case Gathered():
            return {"event_id": record.event.id if record.event is not None else None}
        case Begun():
            return {"step": record.key, "parts": record.parts}
        case Validated():
            return {}
        case Patched():
            return {"id": record.id, "new": record.new}
        case WindowSet():
            return {"open": record.open}


def _wait_view(wait: Wait) -> View:
    """An awaited event: the path whose value must be the run's own, and the expression that must hold."""
    condition = wait.condition
    return {"name": wait.name, "label": wait.label or None, "match": condition.path, "when": condition.when}


def _blocked_view(blocked: Iterable[Blocked]) -> list[View]:
    return [
        {
            "step": step_of(b.key),
            "kind": b.kind,
            "since": iso(b.since),
            "until": time_view(b.until),
            "name": b.name or None,
            "waits": [_wait_view(wait) for wait in b.waits] if b.kind == "wait" else [],
        }
        for b in blocked
    ]
