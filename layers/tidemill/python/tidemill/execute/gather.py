"""Debounce and batch, as events come in: each joins the run that gathers under its key, or begins one.

A window (key → run) only says where to look. Whether an event still comes in is decided by the run's journal: the event
is appended as a record, and the claim with which the run begins needs the same number. An event that has lost that race
begins the next window. So it is in exactly one run, whatever dies or comes twice.
"""

from __future__ import annotations

from typing import Any

from tidemill.core.flow import gather, keys
from tidemill.core.journal import Gathered
from tidemill.core.look import bounded
from tidemill.core.state import RunState
from tidemill.execute.load import load
from tidemill.execute.start import bear, first_id
from tidemill.limits import EVENT_ID_MEMORY, MESSAGE_DELAY
from tidemill.model import Event, FunctionSpec, Head, HeadChange
from tidemill.ports import Window, World


def gathers(spec: FunctionSpec) -> bool:
    return gather.feature(spec.flow) is not None


def take_in(world: World, spec: FunctionSpec, event: Event) -> tuple[str, bool]:
    """Put the event into a run of this function: the run's id, and whether the event began it. Harmless to do twice."""
    name = gather.feature(spec.flow) or ""
    declared: dict[str, Any] = spec.flow[name]
    had = _had(world, spec, event)
    if had is not None:
        world.queue.look(had.run_id, spec.id, had.not_before)
        return had.run_id, False
    key = keys.key(keys.family(name, spec.id), declared.get("key"), event).text
    while True:
        window = world.flow.window(key)
        if window is not None and _join(world, spec, name, declared, key, window, event):
            return window.run_id, False
        now = world.clock.now()
        run_id = first_id(world, spec, event)
        if world.flow.move_window(key, window, Window(run_id, 0, 1, now), now):
            # Another delivery may have put it into the run that gathered before, while this one stood still.
            had = _had(world, spec, event) if window is not None else None
            if had is not None:
                return had.run_id, False
            begin = max(gather.begins(name, declared, now, now, 1), event.ts)
            reason = gather.reason(name, declared)
            born = bear(world, spec, (event,), run_id=run_id, begin=begin, reason=reason)
            world.queue.look(run_id, spec.id, born.head.not_before)
            return run_id, born.created


def _had(world: World, spec: FunctionSpec, event: Event) -> Head | None:
    """The run that the event is in already."""
    for head in world.runs.of_event(event.id):
        if head.function_id == spec.id and head.parent is None and _recent(world, head, event):
            return head
    return None


def _recent(world: World, head: Head, event: Event) -> bool:
    """Whether it is this event that is in the run: not an older one with the same id, nor only about to be."""
    events = [e for e in _events(load(world, head)) if e.id == event.id]
    return bool(events) and event.received_at - events[0].received_at <= EVENT_ID_MEMORY


def _events(state: RunState) -> list[Event]:
    return [*state.birth.events, *(record.event for record in state.gathered)]


def _join(
    world: World, spec: FunctionSpec, name: str, declared: dict[str, Any], key: str, window: Window, event: Event
) -> bool:
    """Append the event to the run that gathers. False: that run takes no more."""
    now = world.clock.now()
    known = window
    record = Gathered(now, event, name == "debounce")
    while True:
        head = world.runs.head(window.run_id)
        if head is None or head.due is None or head.started_at is not None:
            return False
        if event.id in head.event_ids:  # another delivery of its message was faster
            return True
        if gather.full(name, declared, known.count):
            return False
        begin = max(gather.begins(name, declared, known.since, now, known.count + 1), event.ts)
        change = _moved(spec, name, declared, head, event, begin)
        found = world.runs.append(head.run_id, known.seq + 1, [record], change)
        if found is None or found[:1] == [record]:
            after = Window(head.run_id, known.seq + 1, known.count + 1, known.since)
            world.flow.move_window(key, window, after, now)
            if begin <= now and (head.not_before or 0) - known.since > MESSAGE_DELAY:
                world.queue.forget(head.run_id)  # it is full before the time for which it has a timer of its own
            world.queue.look(head.run_id, spec.id, begin if begin > now else None)
            return True
        state = load(world, head)
        if state.terminal is not None or state.first_claim is not None or state.admitted is not None:
            return False
        if any(e.id == event.id for e in _events(state)):
            return True
        known = Window(head.run_id, state.seq, len(_events(state)), state.birth.at)


def _moved(spec: FunctionSpec, name: str, declared: dict[str, Any], head: Head, event: Event, begin: int) -> HeadChange:
    """The head with one more event, and the times that follow from when the run now begins."""
    limits = spec.timeouts
    start_by = begin + limits.start if limits.start is not None else None
    finish_by = begin + limits.finish if limits.finish is not None else None
    head.start_by, head.finish_by = start_by, finish_by
    return HeadChange(
        head.status,
        bounded(head, begin),
        gather.reason(name, declared),
        not_before=begin,
        start_by=start_by,
        finish_by=finish_by,
        event_ids=gather.listed(name, (*head.event_ids, event.id)),
    )
