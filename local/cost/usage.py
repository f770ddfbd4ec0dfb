"""The usage of an app in a month: its manifest, times the given numbers of events and steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from tidemill.definitions.definition import APP
from tidemill.model import CronTrigger, EventTrigger, FunctionSpec, name_matches

DAYS = 30  # a month
SECONDS = DAYS * 86_400
_MOST_TICKS = DAYS * 1_440  # every minute


class Usage(msgspec.Struct, frozen=True):
    """The usage of a month. `runs` are started by events, `ticks` by cron triggers; all have as many steps."""

    functions: int
    events: int
    runs: float
    ticks: int
    steps: int
    duration_ms: float  # of a step
    memory: int  # MB of the app's Lambda
    architecture: str = "arm64"
    secrets: int = 0  # of webhooks
    schemas: int = 0  # names of events that have schemas
    notes: tuple[str, ...] = ()


def of_manifest(
    specs: Sequence[FunctionSpec], events: int, steps: int, duration_ms: float, memory: int, architecture: str
) -> Usage:
    """The functions' usage for a number of events a month, spread evenly over the names that they listen for."""
    return Usage(
        len(specs),
        events,
        events * runs_per_event(specs),
        sum(ticks(trigger) for spec in specs for trigger in spec.triggers if isinstance(trigger, CronTrigger)),
        steps,
        duration_ms,
        memory,
        architecture,
        notes=tuple(_notes(specs)),
    )


def runs_per_event(specs: Iterable[FunctionSpec]) -> float:
    """How many runs an event starts, on average over the names that are listened for, if every `when` holds."""
    listeners = [{t.name for t in spec.triggers if isinstance(t, EventTrigger)} for spec in specs]
    names = set[str]().union(*listeners)
    # A pattern counts as a separate name only if it matches no plain name.
    plain = {name for name in names if not name.endswith("*")}
    sent = plain | {name for name in names - plain if not any(name_matches(name, other) for other in plain)}
    if not sent:
        return 0.0
    started = sum(any(_takes(pattern, name) for pattern in patterns) for patterns in listeners for name in sent)
    return started / len(sent)


def ticks(trigger: CronTrigger) -> int:
    """How often the trigger fires in a month of 30 days."""
    from cronsim import CronSim

    start = datetime(2026, 1, 1, tzinfo=UTC).astimezone(ZoneInfo(trigger.timezone))
    end = start + timedelta(days=DAYS)
    count = 0
    for moment in CronSim(trigger.cron, start):
        if moment > end or count == _MOST_TICKS:
            break
        count += 1
    return count


def _takes(pattern: str, name: str) -> bool:
    return pattern == name or name_matches(pattern, name)


def _notes(specs: Sequence[FunctionSpec]) -> Iterable[str]:
    """Costs that the estimate leaves out, because a declaration does not determine them."""
    conditional = [s for s in specs if any(isinstance(t, EventTrigger) and t.when for t in s.triggers)]
    if conditional:
        yield f"{_functions(conditional)} a condition (when): counted as if it always held"
    idle = [s for s in specs if not s.triggers]
    if idle:
        yield f"{_functions(idle)} no trigger: how often they are invoked, or handle a failure, is not known here"
    flow = [s for s in specs if s.flow]
    if flow:
        yield f"{_functions(flow)} flow control: its places and backlog are not counted"
    defined = [s for s in specs if s.app == APP]
    if defined:
        yield f"{_functions(defined)} steps that are programs of their own: their Lambdas, tasks and services"
    cancelled = [s for s in specs if s.cancel_on]
    if cancelled:
        yield f"{_functions(cancelled)} cancel_on: each adds a wait to every run"


def _functions(specs: Sequence[FunctionSpec]) -> str:
    shown = ", ".join(spec.id for spec in specs[:3]) + (f" and {len(specs) - 3} more" if len(specs) > 3 else "")
    return f"{shown} {'has' if len(specs) == 1 else 'have'}"
