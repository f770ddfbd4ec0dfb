"""Ends runs: cancels them, and performs the effects of every end in an order that makes a crash in between harmless.

The terminal record is in the journal before anything here happens. Then waits and timers are deleted, unfinished chunks
of maps cancelled, the parent resolved, the end announced, and at last the head closed. Until the head is closed the run
has a due time, so after a crash the next check repeats all of this; each effect is harmless to do twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tidemill import ids, values
from tidemill.core.journal import Cancelled, Ended, Resolved, Skipped
from tidemill.core.state import RunState, status_of
from tidemill.core.view.values import error_view
from tidemill.engine.runs import concurrency, renew
from tidemill.engine.runs.append import Decision, resolve, tell
from tidemill.engine.runs.create import CreatedRun, NewRun, create_run
from tidemill.engine.runs.ids import chunk_id
from tidemill.engine.runs.load import opened
from tidemill.model import (
    CANCELLED,
    FAILED,
    FINISHED,
    Event,
    Failure,
    FunctionSpec,
    Head,
    HeadChange,
    event_fields,
)
from tidemill.ports import World


def cancel(world: World, run_id: str, reason: str, *, own: str = "", unbegun: bool = False) -> bool:
    """Cancel a run in any state. False: it had ended already, or there is no such run.

    `own`: only if this event is its first: two events may have tried to begin one window, each with its own waits.
    `unbegun`: only if it was never claimed.
    """
    now = world.clock.now()

    def decide(state: RunState) -> Decision:
        if state.terminal is not None or (unbegun and state.first_claim is not None):
            return None
        if own and state.birth.events and state.birth.events[0].id != own:
            return None
        return [Cancelled(now, reason)], HeadChange(
            status="cancelled", due=now, reason=reason, ended_at=now, end=state.seq + 1
        )

    cancelled = tell(world, run_id, decide)
    if cancelled:
        finish(world, run_id)
    return cancelled


def cancel_created(world: World, run: CreatedRun) -> None:
    """Cancel a new run that an event of its `cancel_on` had cancelled before the run was there.

    One that was created as skipped, for its function is paused and drops events, is closed.
    """
    if run.created and run.head.status == "skipped":
        finish(world, run.head.run_id)
    elif run.cancelled_by is not None:
        cancel(world, run.head.run_id, run.cancelled_by)


def finish(world: World, run_id: str, gone: bool = False) -> None:
    """Perform the effects of a run's end and close its head. `gone`: no executor works on it any more."""
    found = opened(world, run_id)
    if found is None:
        return
    head, state = found
    if state.terminal is None:
        return
    world.waits.drop(run_id)
    if _timer(head, state) > world.clock.now():
        world.queue.forget(run_id)
    if isinstance(state.terminal, Skipped):
        concurrency.turned_away(world, head, state.terminal)
    again = concurrency.leave(world, head, state, gone)
    _cancel_chunks(world, head, state)
    _tell_parent(world, head, state.terminal)
    _announce(world, head, state)
    if again is not None:
        world.runs.redue(run_id, head.due, again, head.reason)
        world.queue.wake(run_id, head.function_id, again)
        return
    renew.at_end(world, head, state.terminal.at)
    world.runs.change(run_id, closing(state.terminal, state.end or 0))


def _timer(head: Head, state: RunState) -> int:
    """The latest time for which the run may have a timer, as far as the journal shows."""
    return max(state.timer, head.not_before or 0, head.finish_by or 0)


def quiet(world: World, head: Head, ended: Ended) -> bool:
    """Whether a run's end concerns only itself and the runs that wait for its places."""
    if head.needs_cleanup or head.parent is not None:
        return False
    if any(_listened(world, name) for name in _announcements(ended)):
        return False
    if ended.status == "completed":
        return True
    spec = world.registry.function(head.function_id)
    return spec is not None and spec.on_failure is None


def closing(terminal: Ended | Cancelled | Skipped, number: int) -> HeadChange:
    """The head of an ended run."""
    return HeadChange(
        status=status_of(terminal),
        due=None,
        reason=None if isinstance(terminal, Ended) else terminal.reason,
        ended_at=terminal.at,
        end=number,
    )


def failure_for_parent(terminal: Ended | Cancelled | Skipped) -> Failure | None:
    """The failure that a parent sees if this run did not complete."""
    if isinstance(terminal, Ended):
        return terminal.failure
    return Failure(type="StepError", message=f"the invoked run was {status_of(terminal)}: {terminal.reason}")


def _cancel_chunks(world: World, head: Head, state: RunState) -> None:
    """Cancel the chunks of maps that the run has begun and not collected. A chunk that does not exist yet finds the
    end."""
    cancel_parts(world, head.run_id, {key: parts for key, parts in state.begun.items() if key not in state.resolved})


def cancel_parts(world: World, run_id: str, maps: Mapping[str, int]) -> None:
    for key, parts in maps.items():
        for number in range(parts):
            cancel(world, chunk_id(run_id, key, number), "its parent run has ended")


def _tell_parent(world: World, head: Head, terminal: Ended | Cancelled | Skipped) -> None:
    parent = head.parent
    if parent is None:
        return
    if parent.chunk is not None:
        if world.runs.chunk_done(parent.run_id, parent.key, parent.chunk) < parent.chunks:
            return
        record = Resolved(parent.key, terminal.at)
    else:
        value = terminal.value if isinstance(terminal, Ended) else None
        failure = failure_for_parent(terminal)
        if failure is not None:  # the parent's step failed; the id of the child's step means nothing to the parent
            failure = msgspec.structs.replace(failure, step_id=parent.key)
        record = Resolved(parent.key, terminal.at, value=value, failure=failure)
    resolve(world, parent.run_id, parent.function_id, record)


def _announcements(terminal: Ended | Cancelled | Skipped) -> tuple[str, ...]:
    status = status_of(terminal)
    return {"failed": (FINISHED, FAILED), "cancelled": (FINISHED, CANCELLED), "skipped": ()}.get(status, (FINISHED,))


def _listened(world: World, name: str) -> bool:
    return bool(world.registry.listeners(name)) or world.waits.awaited(name)


def _announce(world: World, head: Head, state: RunState) -> None:
    terminal = state.terminal
    if terminal is None or (head.parent is not None and head.parent.chunk is not None):
        return
    spec = world.registry.function(head.function_id)
    handler = spec.on_failure if spec is not None and status_of(terminal) == "failed" else None
    events = [end_event(head, state, name) for name in _announcements(terminal) if _listened(world, name)]
    if handler is not None and (failure_spec := world.registry.function(handler)) is not None:
        event = end_event(head, state, FAILED)
        _start_handler(world, failure_spec, event)
    if events:
        world.bus.publish(events)


def _start_handler(world: World, spec: FunctionSpec, event: Event) -> None:
    """Create the run that handles a failure; flow control decides about it at its first check (`intake/admit`)."""
    world.events.put(event, ())
    run = create_run(world, NewRun(spec, (event,)))
    cancel_created(world, run)
    world.queue.wake(run.head.run_id, spec.id, run.head.not_before)


def end_event(head: Head, state: RunState, name: str) -> Event:
    """The announcement of a run's end. Its id derives from the run: one event, however often it is sent."""
    terminal = state.terminal
    ended = terminal if isinstance(terminal, Ended) else None
    at = terminal.at if terminal is not None else 0
    data = {
        "function_id": head.function_id,
        "run_id": head.run_id,
        "status": status_of(terminal) if terminal is not None else head.status,
        "event": _event_of(state),
        "output": values.plain(ended.value) if ended is not None and ended.value is not None else None,
        "error": error_view(ended.failure if ended is not None else None),
    }
    return Event(ids.derived(head.run_id, name), name, data, at, at, _user_of(state))


def _event_of(state: RunState) -> dict[str, object] | None:
    if not state.events:
        return None
    return event_fields(state.events[0])


def _user_of(state: RunState) -> dict[str, object] | None:
    return state.events[0].user if state.events else None
