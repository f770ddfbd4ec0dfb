"""Begins a run in an executor that receives the event itself: created and claimed in one write.

What else an event does (it is kept, it wakes who waits) happens elsewhere, at the same time: see `receive.store` and
`receive.wake`.
"""

from __future__ import annotations

from tidemill.core.journal import Claimed
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.intake import receive
from tidemill.engine.intake.start import Arrival, begin
from tidemill.engine.runs.create import CreatedRun
from tidemill.model import CronTrigger, Event, FunctionSpec
from tidemill.ports import World


def arrive(
    world: World, spec: FunctionSpec, event: Event, by: str, until: int, *, again: bool = False
) -> Opened | None:
    """Begin the run that this event starts, if it starts one, claimed for the executor `by` until then. `again`: the
    event was delivered before.

    None: there is nothing to run here now. The event is none of the function's, or the run must not begin yet, or
    somebody else is at work on it, or it has ended. Harmless to do twice.
    """
    claim = _claim(world, spec, by, until)
    return _opened(world, spec, claim, begin(world, spec, event, claim, again=again))


def tick(world: World, spec: FunctionSpec, trigger: CronTrigger, at: int, by: str, until: int) -> Opened | None:
    """Begin the run of this tick of a cron trigger; as `arrive`."""
    claim = _claim(world, spec, by, until)
    return _opened(world, spec, claim, receive.fire(world, spec, trigger, at, claim))


def _claim(world: World, spec: FunctionSpec, by: str, until: int) -> Claimed:
    return Claimed(world.clock.now(), by, until, world.registry.version(spec.id))


def _opened(world: World, spec: FunctionSpec, claim: Claimed, arrival: Arrival) -> Opened | None:
    run = arrival.run
    if run is None:
        return None
    if run.records[-1] is claim and (run.created or _stored(world, run)):
        return Opened(run.head, spec, run.records)
    return open_run(world, run.head.run_id, claim.by, claim.until)


def _stored(world: World, run: CreatedRun) -> bool:
    """Whether it was this very call that created the run: the write succeeded, and looked failed."""
    return world.runs.read(run.head.run_id)[: len(run.records)] == run.records
