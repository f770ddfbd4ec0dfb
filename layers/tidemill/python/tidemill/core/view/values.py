"""Views of the values in records: plain JSON, or the URL of a large value."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import values
from tidemill.core.journal import Ended, Record, Resolved, StepDone
from tidemill.duration import iso
from tidemill.limits import VALUE_INLINE
from tidemill.model import SIGNAL, Event, Failure, event_fields

View = dict[str, Any]
_FOREVER = 253_402_300_800_000  # the year 10000: beyond ISO times, used by claims without an end


def time_view(ms: int | None) -> str | None:
    return iso(ms) if ms is not None and ms < _FOREVER else None


def error_view(failure: Failure | None) -> View | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "stack": failure.stack, "step_id": failure.step_id}


def shown(run_id: str, seq: int, record: Record, base: str = "", inline: int = VALUE_INLINE) -> Any:
    """The value of a record, or its URL if it has more than `inline` bytes."""
    size = _size(record)
    if size > inline:
        return {"$large": f"{base}/v1/runs/{run_id}/values/{seq}", "bytes": size}
    return value_of(record)


def has_value(record: Record) -> bool:
    if isinstance(record, Resolved) and record.event is not None:
        return True
    return isinstance(record, StepDone | Resolved | Ended) and record.value is not None


def value_of(record: Record) -> Any:
    """The value of a record, whatever its size; None if it has none."""
    if isinstance(record, Resolved) and record.event is not None:
        return _found(record.event, record.label)
    if isinstance(record, StepDone | Resolved | Ended) and record.value is not None:
        return values.plain(record.value)
    return None


def encoded_value(record: Record) -> bytes:
    """Like `value_of`, as JSON; a plain value is not decoded first."""
    if isinstance(record, StepDone | Resolved | Ended) and record.value is not None and b'"$"' not in record.value:
        return record.value
    return msgspec.json.encode(value_of(record))


def _size(record: Record) -> int:
    """The size, before anything is decoded."""
    if isinstance(record, Resolved) and record.event is not None:
        return len(msgspec.json.encode(_found(record.event, record.label)))
    return len(record.value) if isinstance(record, StepDone | Resolved | Ended) and record.value is not None else 0


def _found(event: Event, label: str) -> Any:
    """The result of a wait: the event, its label and the event, or a signal's data."""
    if event.name == SIGNAL:
        return event.data.get("data")
    return [label, event_fields(event)] if label else event_fields(event)
