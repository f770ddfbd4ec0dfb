"""Explains why a run is not running: reads the stores for `core.why`."""

from __future__ import annotations

from typing import NamedTuple

from tidemill.core import why
from tidemill.core.state import status_of
from tidemill.core.why import Facts, Line, Why
from tidemill.engine.runs.concurrency import as_declared
from tidemill.engine.runs.load import current
from tidemill.model import FunctionSpec, Head, RunStatus
from tidemill.ports import World


class Explained(NamedTuple):
    status: RunStatus
    why: Why


def explain(world: World, run_id: str) -> Explained | None:
    """Why the run's code is not executing now; None: there is no such run."""
    found = current(world, run_id)
    if found is None:
        return None
    head, state = found
    now = world.clock.now()
    alive = state.claim is not None and world.liveness.alive(state.claim, now)
    spec = world.registry.function(head.function_id)
    line = _line(world, head, spec, now) if state.terminal is None and not alive else None
    status = head.status if state.terminal is None else status_of(state.terminal)
    return Explained(
        status, why.why(head, state, spec, Facts(now, alive, world.pauses.all().get(head.function_id), line))
    )


def _line(world: World, head: Head, spec: FunctionSpec | None, now: int) -> Line | None:
    """The first place that the run lacks and cannot take."""
    rank = head.admission.rank if head.admission is not None else 0
    for each in head.admission.places if head.admission is not None else ():
        place = as_declared(spec, each)
        holders = tuple(
            holder.run_id
            for holder in world.flow.holders(place.key)
            if place.counts == "runs"
            or holder.until > now  # otherwise its executor is dead, and its place will be free
        )
        if head.run_id in holders:
            continue
        ahead = world.flow.ahead(place.key, head.run_id, rank)
        if ahead is not None or len(holders) >= place.limit:
            return Line(place, holders, ahead)
    return None
