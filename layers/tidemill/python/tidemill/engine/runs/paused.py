"""Paused functions: none of their runs is claimed until the function is resumed.

A run that could go on is noted where it is found, and its due time moves on, as that of any held run. When the function
is resumed its runs are looked at, in the order in which they were created. Timeouts, cancellations, waits and sleeps go
on meanwhile: they end, and only the code does not.

Of the ticks of a cron trigger that come meanwhile the latest stays; the others are skipped. `events="drop"`: a run that
is created meanwhile, by an event or an invocation, is skipped at its creation (see `create`), and no event joins a run
that gathers.
"""

from __future__ import annotations

from collections.abc import Iterator

from tidemill import ids
from tidemill.core.journal import Record, Skipped
from tidemill.core.next_action import Action
from tidemill.core.state import RunState
from tidemill.engine.runs.append import tell
from tidemill.engine.runs.end import finish
from tidemill.model import TIMER, Head, HeadChange
from tidemill.ports import World

PAGE = 100
LATER_TICK = "a later tick came while its function was paused"


def reason(function_id: str) -> str:
    return f"function {function_id} is paused"


def checked(world: World, head: Head, action: Action) -> Action:
    """The action, or to hold the run, where its code could go on and its function is paused."""
    if action.do != "claim" or world.pauses.of(head.function_id) is None:
        return action
    world.pauses.hold(head.function_id, head.run_id, head.created_at)
    if head.started_at is None:
        _keep_latest_tick(world, head)
    if world.pauses.of(head.function_id) is None:
        return action  # it was resumed before the run had been noted: nobody else looks for it
    return Action("hold", reason=reason(head.function_id))


def _keep_latest_tick(world: World, head: Head) -> None:
    birth = world.runs.birth(head.run_id)
    event = birth.events[0] if birth is not None and birth.events else None
    if birth is None or event is None or event.name != TIMER or birth.again:
        return
    tick = ids.derived("tick", str(event.data.get("cron")), str(event.data.get("timezone")))
    earlier = world.pauses.swap_tick(head.function_id, tick, event.ts, head.run_id)
    if earlier is not None:
        skip(world, earlier, LATER_TICK)


def skip(world: World, run_id: str, why: str) -> None:
    """Skip a run that has not begun."""
    now = world.clock.now()

    def decide(state: RunState) -> tuple[list[Record], HeadChange] | None:
        if state.terminal is not None or state.first_claim is not None:
            return None
        end = HeadChange("skipped", now, why, ended_at=now, end=state.seq + 1)
        return [Skipped(now, why)], end

    if tell(world, run_id, decide):
        finish(world, run_id)


def look_again(world: World, function_id: str) -> Iterator[None]:
    """Have the runs of a resumed function looked at, oldest first; after each yield others may take their turn."""
    while runs := world.pauses.held(function_id, PAGE):  # ends: each turn takes a page away
        for _, run_id in runs:
            head = world.runs.head(run_id)
            if head is not None and head.due is not None:
                world.runs.redue(run_id, head.due, world.clock.now(), None)
                world.queue.wake(run_id, function_id)
        world.pauses.release(function_id, runs)
        yield
