"""A view of what an open run waits for."""

from __future__ import annotations

from tidemill.core.state import RunState
from tidemill.core.step_keys import is_handed, step_of
from tidemill.core.view.values import View, time_view

WAITING = 100  # steps that are named


def waiting_view(state: RunState) -> list[View]:
    """The steps that wait or sleep, in the order of the journal; none of a run that has ended."""
    if state.terminal is not None:
        return []
    steps = [step for step in state.blocked.values() if step.kind != "run" and not is_handed(step.key)]
    return [
        {"step": step_of(step.key), "name": step.name or None, "until": time_view(step.until)}
        for step in steps[:WAITING]
    ]
