"""What records hold, as the API shows it: plain JSON, or where to fetch it if it is large."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import values
from tidemill.core.journal import Ended, Record, Resolved, StepDone
from tidemill.duration import iso
from tidemill.limits import VALUE_INLINE
from tidemill.model import SIGNAL, Event, Failure, event_fields

View = dict[str, Any]
_FOREVER = 253_402_300_800_000  # the year 10000: no ISO time any more, and no claim that ends


def time_view(ms: int | None) -> str | None:
    return iso(ms) if ms is not None and ms < _FOREVER else None


def error_view(failure: Failure | None) -> View | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "stack": failure.stack, "step_id": failure.step_id}


def shown(run_id: str, seq: int, record: Record, base: str = "", inline: int = VALUE_INLINE) -> Any:
    """The value that a record holds, or where to fetch it if it has more than `inline` bytes."""
    size = _size(record)
    if size > inline:
        return {"$large": f"{base}/v1/runs/{run_id}/values/{seq}", "bytes": size}
    return value_of(record)


def has_value(record: Record) -> bool:
    if isinstance(record, Resolved) and record.event is not None:
        return True
    return isinstance(record, StepDone | Resolved | Ended) and record.value is not None


def value_of(record: Record) -> Any:
    """The value that a record holds, whatever its size; None if it holds none."""
    if isinstance(record, Resolved) and record.event is not None:
        return _found(record.event, record.label)
    if isinstance(record, StepDone | Resolved | Ended) and record.value is not None:
        return values.plain(record.value)
    return None


def encoded_value(record: Record) -> bytes:
    """As `value_of`, in JSON; what is plain already is not decoded first."""
    if isinstance(record, StepDone | Resolved | Ended) and record.value is not None and b'"$"' not in record.value:
        return record.value
    return msgspec.json.encode(value_of(record))


def _size(record: Record) -> int:
    """Known before anything is decoded."""
    if isinstance(record, Resolved) and record.event is not None:
        return len(msgspec.json.encode(_found(record.event, record.label)))
    return len(record.value) if isinstance(record, StepDone | Resolved | Ended) and record.value is not None else 0


def _found(event: Event, label: str) -> Any:
    """What a wait gave its caller: the event, its label and the event, or a signal's data."""
    if event.name == SIGNAL:
        return event.data.get("data")
    return [label, event_fields(event)] if label else event_fields(event)
