"""How a run begins where the executor itself takes the event: created and claimed in one write.

In Lambda an event reaches each function's queue by a road of its own, and whoever takes it from there runs the code.
The run's head is born with the claim, so that a run that never suspends needs no other write before its first step.
What else an event does (it is kept, it wakes who waits) happens elsewhere, at the same time: see `receive.store` and
`receive.wake`.
"""

from __future__ import annotations

from tidemill.core.journal import Claimed
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.intake import admit, collect, receive
from tidemill.engine.runs.create import Born, bear
from tidemill.model import TIMER, CronTrigger, Event, FunctionSpec
from tidemill.ports import World


def arrive(world: World, spec: FunctionSpec, event: Event, by: str, until: int) -> Opened | None:
    """Begin the run that this event starts, if it starts one, claimed for the executor `by` until then.

    None: there is nothing to run here now. The event is none of the function's, or the run must not begin yet, or
    somebody else is at work on it, or it has ended. Harmless to do twice.
    """
    if not receive.starts(world, spec, event):
        return None
    return _claimed(world, spec, event, by, until)


def tick(world: World, spec: FunctionSpec, trigger: CronTrigger, at: int, by: str, until: int) -> Opened | None:
    """Begin the run of this tick of a cron trigger; as `arrive`."""
    event = receive.timer(world, spec, trigger, at)
    receive.store(world, event)
    receive.wake(world, event)
    return _claimed(world, spec, event, by, until)


def _claimed(world: World, spec: FunctionSpec, event: Event, by: str, until: int) -> Opened | None:
    if spec.flow:  # what is born with a claim has been admitted by nobody
        return _admitted(world, spec, event, by, until)
    now = world.clock.now()
    claim = Claimed(now, by, until, world.registry.version(spec.id))
    born = bear(world, spec, (event,), claim=claim)
    if born.head.not_before is not None and born.created:
        world.queue.wake(born.head.run_id, spec.id, born.head.not_before)
        return None
    if born.created or _mine(world, born, claim):
        return Opened(born.head, spec, born.records)
    return open_run(world, born.head.run_id, by, until)


def _admitted(world: World, spec: FunctionSpec, event: Event, by: str, until: int) -> Opened | None:
    if collect.gathers(spec) and event.name != TIMER:
        collect.take_in(world, spec, event)
        return None
    head = bear(world, spec, (event,)).head
    if admit.at_birth(world, spec, head.run_id):
        return None
    if head.not_before is not None:
        world.queue.wake(head.run_id, spec.id, head.not_before)
        return None
    return open_run(world, head.run_id, by, until)


def _mine(world: World, born: Born, claim: Claimed) -> bool:
    """Whether it was this very call that created the run: the write succeeded, and looked failed."""
    return world.runs.read(born.head.run_id)[: len(born.records)] == born.records and born.records[-1] == claim
