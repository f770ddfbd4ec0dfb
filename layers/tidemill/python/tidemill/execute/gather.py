"""Debounce and batch, as events come in: each joins the run that gathers under its key, or begins one.

A window (key → run) only says where to look. Whether an event still comes in is decided by the run's journal: the event
is appended as a record, and the claim with which the run begins needs the same number. An event that has lost that race
goes to the next window, or begins it.

*In exactly one run, whatever dies or comes twice.* Two deliveries of an event may see two windows, if one of them stood
still in between. So they agree on a *home* before either does anything: the first one's choice stands. It is a run that
has been born, or the one that the event itself begins; and where that run has begun without the event, which is then
true for good, both find that out, and agree on the next.
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
    own = first_id(world, spec, event)
    number = 0
    while True:
        window = world.flow.window(key)
        head = world.runs.head(window.run_id) if window is not None else None
        now = world.clock.now()
        if window is None or head is None or not _open(head):
            mine = Window(own, 0, 1, now)
            if not world.flow.move_window(key, window, mine, now):
                continue
            window = mine
        home = _home(world, spec, event, number, window.run_id, now)
        if home == own:
            begin = max(gather.begins(name, declared, now, now, 1), event.ts)
            reason = gather.reason(name, declared)
            born = bear(world, spec, (event,), run_id=own, begin=begin, reason=reason)
            world.queue.look(own, spec.id, born.head.not_before)
            return own, born.created
        if window.run_id != home:
            window, head = None, world.runs.head(home)
        if head is not None and _join(world, spec, name, declared, key, window, head, event):
            return home, False
        number += 1


def _home(world: World, spec: FunctionSpec, event: Event, number: int, run_id: str, now: int) -> str:
    """The run that all deliveries of the event try to put it into, after `number` others: this one, or another's."""
    key = f"{keys.family('home', spec.id)}/{event.id}/{number}"
    return world.flow.first(key, run_id, now, event.received_at + EVENT_ID_MEMORY)


def _open(head: Head) -> bool:
    """Whether the run takes events, as far as its head tells."""
    return head.due is not None and head.started_at is None


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
    world: World,
    spec: FunctionSpec,
    name: str,
    declared: dict[str, Any],
    key: str,
    window: Window | None,
    head: Head,
    event: Event,
) -> bool:
    """Append the event to the run that gathers; `window`: where it stands under its key. False: it never takes it."""
    run_id, now = head.run_id, world.clock.now()
    known = window
    record = Gathered(now, event, name == "debounce")
    while True:
        if event.id in head.event_ids:  # another delivery of its message was faster
            return True
        if known is None or not _open(head):
            state = load(world, head)
            if _has(state, event):
                return True
            if state.terminal is not None or state.first_claim is not None or state.admitted is not None:
                return False
            known = Window(run_id, state.seq, len(_events(state)), state.birth.at)
            head = world.runs.head(run_id) or head  # what is changed must not be older than what is appended to
            continue
        if gather.full(name, declared, known.count):
            return False
        begin = max(gather.begins(name, declared, known.since, now, known.count + 1), event.ts)
        change = _moved(spec, name, declared, head, event, begin)
        found = world.runs.append(run_id, known.seq + 1, [record], change)
        if found is None or found[:1] == [record]:
            after = Window(run_id, known.seq + 1, known.count + 1, known.since)
            if window is not None:
                world.flow.move_window(key, window, after, now)
            if begin <= now and (head.not_before or 0) - known.since > MESSAGE_DELAY:
                world.queue.forget(run_id)  # it is full before the time for which it has a timer of its own
            world.queue.look(run_id, spec.id, begin if begin > now else None)
            return True
        known = None


def _has(state: RunState, event: Event) -> bool:
    return any(e.id == event.id for e in _events(state))


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
