"""An event whose `ts` lies ahead begins, resolves and cancels nothing before its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simulation.system import System

from tidemill.core.journal import Cancelled, Claimed, Gathered, Record, Resolved, Started
from tidemill.model import Event, Head


def broken(system: System, head: Head, records: list[Record], events: Mapping[str, Event]) -> list[str]:
    slack = 2 * system.skew
    return [
        f"{head.function_id} {head.run_id}: event {event.id} {what} at {at}, before its time {event.effective_at}"
        for what, event, at in _effects(records, events)
        if at + slack < event.effective_at
    ]


def _effects(records: list[Record], events: Mapping[str, Event]) -> Iterator[tuple[str, Event, int]]:
    """What events have done to a run, and when."""
    begun = next((record.at for record in records if isinstance(record, Claimed)), None)
    if begun is not None:
        yield from (("began it", event, begun) for event in _own(records))
    for record in records:
        if isinstance(record, Resolved) and record.event is not None:
            yield f"resolved {record.key}", record.event, record.at
        elif isinstance(record, Cancelled) and "event " in record.reason:
            event_id = record.reason.rpartition("(")[2].rstrip(")")
            if (event := events.get(event_id)) is not None:
                yield "cancelled it", event, record.at


def _own(records: list[Record]) -> Iterator[Event]:
    for record in records:
        if isinstance(record, Started):
            yield from record.events
        elif isinstance(record, Gathered) and record.event is not None:
            yield record.event
