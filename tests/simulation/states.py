"""The map of what a run was doing and what happened to it then: seeds that only meet resting runs prove little.

`make simulate` fills it, and fails where a cell stays empty that is not impossible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.core.journal import Cancelled, Record, Resolved
from tidemill.core.state import RunState, fold
from tidemill.model import Head

if TYPE_CHECKING:
    from simulation.system import System

Met = Counter[tuple[str, str]]

STEPS = {
    "run": "step retrying",
    "sleep": "sleeping",
    "wait": "waiting for an event",
    "signal": "waiting for a signal",
    "invoke": "waiting for a child",
    "map": "waiting for a map",
}
STATES = (
    "scheduled", "planned", "gathering", "admitted", "in line", "held", "running", "retrying", *STEPS.values(),
    "snapshot", "ending", "ended",
)  # fmt: skip
OPERATIONS = {
    "cancelled by API": "somebody cancels it",
    "cancelled by event": "an event of its `cancel_on` comes",
    "cancelled by timeout": "it did not begin, or end, in time",
    "cancelled by newcomer": "a singleton's next run takes its place",
    "resolved": "what one of its steps waits for comes",
    "deploy": "other code or other options",
    "run again": "somebody runs it again from the start",
    "run again from a step": "somebody runs it again from one of its steps",
    "process dies": "the process that is at work on it is killed",
    "machine sleeps": "the lid is closed for hours",
}
_NOT_BEGUN = ("scheduled", "planned", "gathering", "admitted", "in line")
_BLOCKED = tuple(STEPS.values())
_BY_OTHERS = ("cancelled by API", "cancelled by event", "cancelled by timeout", "cancelled by newcomer")
# From the state in which the fewest runs are met to that in which the most are.
RARE = (
    "retrying", "held", "admitted", "ending", "waiting for a child", "waiting for a map", "planned", "gathering",
    "in line", "step retrying", "waiting for a signal", "sleeping", "scheduled", "running", "snapshot",
    "waiting for an event", "ended",
)  # fmt: skip
IMPOSSIBLE: dict[str, Sequence[tuple[str, str]]] = {
    "what has ended is not ended again": [(s, o) for s in ("ending", "ended") for o in (*_BY_OTHERS, "resolved")],
    "what has not begun waits for nothing": [(s, "resolved") for s in _NOT_BEGUN],
    "its time counts from when it may begin": [("planned", "cancelled by timeout")],
    "what has not begun has no steps": [(s, "run again from a step") for s in _NOT_BEGUN],
    "no process is at work on it": [
        (s, "process dies") for s in (*_NOT_BEGUN, *_BLOCKED, "held", "retrying", "ending", "ended")
    ],
    "singletons are decided before the run can be in these states": [
        (s, "cancelled by newcomer") for s in ("scheduled", "planned", "gathering", "held")
    ],
}
ELSEWHERE = {"machine sleeps": ("sync",)}  # operations of some worlds only


def note(system: System, run_id: str, operation: str) -> None:
    """This happens to the run now: count it under every state that the run is in."""
    head = system.stores.runs.head(run_id)
    if head is not None:
        for each in now(system, head):
            system.met[each, operation] += 1


def now(system: System, head: Head) -> list[str]:
    """What the run is doing now."""
    return of(head, fold(system.stores.runs.read(head.run_id)), system.loop.now)


def before(system: System, name: str, args: Sequence[Any]) -> list[tuple[str, str]]:
    """The cells to count if this call to a port is an append that succeeds."""
    operation = _operation(args[2][0]) if name == "append" else None
    head = system.stores.runs.head(args[0]) if operation is not None else None
    if operation is None or head is None:
        return []
    return [(each, operation) for each in now(system, head)]


def _operation(record: Record) -> str | None:
    if isinstance(record, Resolved):
        return "resolved"
    if not isinstance(record, Cancelled) or "parent" in record.reason or "API" in record.reason:
        return None  # noted where it was asked for, or of no interest
    if "timeout" in record.reason:
        return "cancelled by timeout"
    return "cancelled by newcomer" if "singleton" in record.reason else "cancelled by event"


def of(head: Head, state: RunState, now: int) -> list[str]:
    """What a run is doing, in words; some at the same time."""
    if head.due is None:
        return ["ended"]
    if state.terminal is not None:
        return ["ending"]
    found = [STEPS[b.kind] for b in state.blocked.values() if b.kind in STEPS] if state.suspended is not None else []
    reason = head.reason or ""
    if "(concurrency)" in reason:
        found.append("in line")
    elif "not declared" in reason:
        found.append("held")
    elif state.first_claim is None and head.gathers and state.admitted is None:
        found.append("gathering")
    elif state.first_claim is None and head.not_before is not None and head.not_before > now:
        found.append("planned" if state.admitted is None else "admitted")
    if state.claim is not None:
        found.append("running")
    if state.failed is not None and state.claim is None and state.suspended is None:
        found.append("retrying")
    if head.snapshot is not None:
        found.append("snapshot")
    return found or ["scheduled"]


def missing(met: Met, world: str) -> list[tuple[str, str]]:
    """The cells that are possible in this world, and empty."""
    never = {cell for cells in IMPOSSIBLE.values() for cell in cells}
    here = [operation for operation in OPERATIONS if world in ELSEWHERE.get(operation, (world,))]
    return [(s, o) for s in STATES for o in here if (s, o) not in never and not met[s, o]]


def table(met: Met) -> str:
    """The map as text."""
    head = " " * 22 + "".join(f"{operation[-12:]:>14}" for operation in OPERATIONS)
    rows = [f"{state:<22}" + "".join(f"{met[state, operation]:>14}" for operation in OPERATIONS) for state in STATES]
    return "\n".join([head, *rows])
