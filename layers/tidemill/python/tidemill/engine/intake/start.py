"""Decides what an event becomes for one function: nothing, an event of a collecting run, or a new run.

In Lambda an event reaches each function's queue separately, and the executor that receives it also executes the code.
It passes a claim, with which the run is created in one write: a run that never suspends needs no other write before its
first step. A run with flow control is admitted first, and is never created with a claim.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.core import expression
from tidemill.core.journal import Claimed
from tidemill.engine.intake import admit, collect
from tidemill.engine.runs.create import CreatedRun, NewRun, create_run
from tidemill.engine.runs.end import cancel_created
from tidemill.model import ENDS, TIMER, Event, EventTrigger, FunctionSpec, event_fields, name_matches
from tidemill.ports import World


class Arrival(msgspec.Struct, frozen=True):
    """The result for an event: its run (none: the function does not take it), and whether the event created the run.

    `run`: the run that a caller with a claim has to open. Otherwise a wake was sent.
    """

    run_id: str | None = None
    created: bool = False
    run: CreatedRun | None = None

    @property
    def began(self) -> str | None:
        """The id of the run that the event began."""
        return self.run_id if self.created else None


def begin(
    world: World, spec: FunctionSpec, event: Event, claim: Claimed | None = None, *, again: bool = False
) -> Arrival:
    """Put the event, or the tick of a cron trigger, into a run of this function. Harmless to do twice.

    `again`: the event was delivered before, perhaps to code that gathered it; only then is that looked for.
    """
    if event.name != TIMER:
        if not starts(world, spec, event):
            return Arrival()
        if collect.gathers(spec):
            return Arrival(*collect.take_in(world, spec, event))
        if again and (run_id := collect.gathered_in(world, spec, event)) is not None:
            return Arrival(run_id)
    return start(world, NewRun(spec, (event,), claim=claim))


def start(world: World, new: NewRun) -> Arrival:
    """Create the run, and have somebody look at it: who brought a claim, unless the run must not begin yet."""
    paused = new.claim is not None and world.pauses.of(new.spec.id) is not None
    run = create_run(world, msgspec.structs.replace(new, claim=None) if paused else new)
    cancel_created(world, run)
    head = run.head
    if run.created and head.status == "skipped":
        return Arrival(head.run_id, True)
    if new.spec.flow and admit.at_birth(world, new.spec, head.run_id):
        return Arrival(head.run_id, run.created)
    if new.claim is not None and head.not_before is None:
        return Arrival(head.run_id, run.created, run)
    world.queue.wake(head.run_id, new.spec.id, head.not_before)
    return Arrival(head.run_id, run.created)


def starts(world: World, spec: FunctionSpec, event: Event) -> bool:
    """Whether this event starts the function."""
    return takes(spec, event) and not (event.name in ENDS and _of_a_listener(world, event))


def takes(spec: FunctionSpec, event: Event) -> bool:
    """Whether any trigger of the function takes this event: its name, and its `when`.

    No function is started by the announcement of its own end.
    """
    if event.name in ENDS and event.data.get("function_id") == spec.id:
        return False
    for trigger in spec.triggers:
        if isinstance(trigger, EventTrigger) and name_matches(trigger.name, event.name):
            if trigger.when is None:
                return True
            if expression.compile(trigger.when).holds({"event": event_fields(event)}):
                return True
    return False


def _of_a_listener(world: World, announcement: Event) -> bool:
    """Whether the announced end is of a run that was started by a trigger for ends.

    Such ends start nothing: two functions that listen for ends would start each other forever, three ever more. A
    function that handles a failure has no trigger, and its end is announced as any other.
    """
    began: dict[str, Any] = announcement.data.get("event") or {}
    if began.get("name") not in ENDS:
        return False
    spec = world.registry.function(str(announcement.data.get("function_id")))
    return spec is None or bool(spec.triggers)
