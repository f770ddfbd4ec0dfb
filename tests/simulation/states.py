"""The map of what a run was doing and what happened to it then: no seed is worth much that only meets resting runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.state import RunState, fold
from tidemill.model import Head

if TYPE_CHECKING:
    from simulation.system import System


def note(system: System, run_id: str, operation: str) -> None:
    """This happens to the run now: count it under every state that the run is in."""
    head = system.stores.runs.head(run_id)
    if head is not None:
        state = fold(system.stores.runs.read(run_id))
        for each in of(head, state, system.loop.now):
            system.met[each, operation] += 1


def of(head: Head, state: RunState, now: int) -> list[str]:
    """What a run is doing, in words; some at the same time."""
    if head.due is None:
        return ["ended"]
    if state.terminal is not None:
        return ["ending"]
    found = [STEPS[b.kind] for b in state.blocked.values() if b.kind in STEPS] if state.suspended is not None else []
    if head.gathers and state.admitted is None and state.first_claim is None:
        found.append("gathering")
    elif state.first_claim is None and head.not_before is not None and head.not_before > now:
        found.append("planned" if state.admitted is None else "admitted")
    elif head.reason and "place" in head.reason:
        found.append("in line")
    elif head.reason and "not declared" in head.reason:
        found.append("held")
    if state.claim is not None:
        found.append("running")
    if state.failed is not None and state.claim is None and state.suspended is None:
        found.append("retrying")
    if head.snapshot is not None:
        found.append("snapshot")
    return found or ["scheduled"]


STEPS = {
    "run": "step retrying",
    "sleep": "sleeping",
    "wait": "waiting for an event",
    "signal": "waiting for a signal",
    "invoke": "waiting for a child",
    "map": "waiting for a map",
}
