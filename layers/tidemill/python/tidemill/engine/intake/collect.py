"""Debounce and batch: each event joins the run that collects under its key, or creates one.

A window (key → run) is only a hint. The run's journal decides whether an event still joins: the event is appended as a
record, and the claim with which the run begins needs the same number.

*Takes no more* (full, admitted, claimed, ended) is final: no later record makes such a run take an event again. So an
event that has been refused moves the window to a new run at once, and never asks the same run twice. A window is moved
before its run is created; such a run counts as open, and the next event creates it, as its first event. So a burst
under one key makes one run, however slow the store is.

*In exactly one run, despite crashes and repeated messages.* Two deliveries of an event may see two windows, if one of
them paused in between. So they agree on an *assigned run* before either does anything: the first one's choice counts.
If that run has begun without the event, which is then final, both find that out, and agree on the next.

*An event joins at its `ts`.* A delayed event has a separate run until then, which others cannot join. At that time the
run opens the window of its key; if another run collects by then, the event joins that one, and its own run is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from tidemill import ids
from tidemill.core import snapshot
from tidemill.core.flow import collect, keys
from tidemill.core.journal import Gathered, Record, Skipped, WindowSet
from tidemill.core.next_action import bounded
from tidemill.core.state import RunState
from tidemill.engine.runs.append import Decision, append, tell
from tidemill.engine.runs.create import NewRun, create_run, drop_reason, first_id, restore_waits
from tidemill.engine.runs.end import cancel_created, finish
from tidemill.engine.runs.load import load
from tidemill.errors import Unavailable
from tidemill.limits import DROPPED_EVENTS, EVENT_ID_MEMORY, MESSAGE_DELAY
from tidemill.model import Event, FunctionSpec, Head, HeadChange
from tidemill.ports import Appended, Lost, Window, World

_RUNS = 25  # that refuse one event, each full before the event could join it
_DELAYED = "its event lies in the future"  # the reason of a run that has not yet opened or joined a window
_TRIES = 100  # to append an event while others append to the same run


@dataclass(frozen=True, slots=True)
class _Intake:
    """One event for a debounce or a batch. `own`: the run of a delayed event, which exists already."""

    world: World
    spec: FunctionSpec
    event: Event
    name: str
    declared: dict[str, Any]
    key: str
    own: str = ""


@dataclass(slots=True)
class _Known:
    """The known state of a collecting run: the number of its last record, and the number and ids of its events."""

    seq: int
    count: int
    since: int
    event_ids: list[str]
    closed: bool = False

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            self.seq += 1
            if isinstance(record, Gathered):
                self.count += 1
                self.closed = self.closed or record.full
                if record.event is not None and record.event.id not in self.event_ids:
                    self.event_ids.append(record.event.id)
            else:
                self.closed = self.closed or not (isinstance(record, WindowSet) and record.open)


def gathers(spec: FunctionSpec) -> bool:
    return collect.feature(spec.flow) is not None


def take_in(world: World, spec: FunctionSpec, event: Event) -> tuple[str, bool]:
    """Put the event into a run of this function. Returns its id, and whether the event created it. Harmless to do
    twice."""
    had = gathered_in(world, spec, event)
    if had is not None:
        return had, False
    if collect.ahead(event, world.clock.now()):
        return _delayed(world, spec, event)
    it, own = _intake(world, spec, event), first_id(world, spec, event)
    if drop_reason(world, spec.id) is not None and _home(it, 0, own) == own:
        return own, _created(it, own)  # skipped at its creation; where another delivery was in time, the event joins
    return _placed(it, own)


def gathered_in(world: World, spec: FunctionSpec, event: Event) -> str | None:
    """The run that already has the event, which is woken: of a function that gathers, or did before a deploy."""
    had = _had(world, spec, event)
    if had is None or not (gathers(spec) or had.gathers):
        return None
    world.queue.wake(had.run_id, spec.id, had.not_before)
    return had.run_id


def delayed(head: Head, state: RunState) -> bool:
    """Whether this is the run of a delayed event that has joined no window yet."""
    return head.gathers and state.seq == 0 and collect.ahead(state.birth.events[0], state.birth.at)


def join_window(world: World, spec: FunctionSpec, head: Head, state: RunState) -> None:
    """A delayed event is due: its run opens the window, or is skipped for one that is open."""
    it = _intake(world, spec, state.birth.events[0], head.run_id)
    run_id, _ = _placed(it, head.run_id)
    if run_id != head.run_id:
        _skip(world, head.run_id, f"its event, which lay in the future, has joined run {run_id} ({it.name})")
        return
    now = world.clock.now()
    known = _Known(0, 1, now, list(head.event_ids))
    _write(it, head, known, WindowSet(now, True), collect.begins(it.name, it.declared, now, now, 1))
    # Where that lost, an event has joined, or the run has been cancelled: either way the window is no matter any more.


def _skip(world: World, run_id: str, reason: str) -> None:
    now = world.clock.now()

    def decide(state: RunState) -> Decision:
        if state.terminal is not None:
            return None
        change = HeadChange("skipped", now, reason, ended_at=now, end=state.seq + 1)
        return [Skipped(now, reason)], change

    tell(world, run_id, decide)
    finish(world, run_id)


def _intake(world: World, spec: FunctionSpec, event: Event, own: str = "") -> _Intake:
    name = collect.feature(spec.flow) or ""
    declared: dict[str, Any] = spec.flow[name]
    key = keys.key(keys.family(name, spec.id), declared.get("key"), event).text
    return _Intake(world, spec, event, name, declared, key, own)


def _delayed(world: World, spec: FunctionSpec, event: Event) -> tuple[str, bool]:
    own = first_id(world, spec, event)
    run = create_run(world, NewRun(spec, (event,), run_id=own, begin=event.ts, reason=_DELAYED))
    cancel_created(world, run)
    world.queue.wake(own, spec.id, event.ts)
    return own, run.created


def _placed(it: _Intake, own: str) -> tuple[str, bool]:
    """The run that the event is in now, and whether the event has created it.

    Bounded: each turn adds a run to those that have refused the event for good: so many new ones, after those that
    an earlier delivery has found.
    """
    refused: set[str] = set()
    number = found = 0
    while found < _RUNS:
        while own in refused:  # terminates: no id comes twice
            own = ids.derived(it.spec.id, it.event.id, own)
        window, head = _window(it, own, refused)
        home = _home(it, number, window.run_id)
        if home == it.own:
            return home, False
        if home != window.run_id:
            head = it.world.runs.head(home)
        if head is None:
            if _created(it, home):
                return home, True
            head = it.world.runs.head(home)
        if head is not None and _join(it, head, window if home == window.run_id else None):
            return home, False
        refused.add(home)
        number, found = number + 1, found + (home == window.run_id)
    raise Unavailable(f"event {it.event.id} found {_RUNS} runs of {it.spec.id} full, one after the other")


def _window(it: _Intake, own: str, refused: set[str]) -> tuple[Window, Head | None]:
    """The window of the event's key, moved to the run `own` where its run takes no more; and that run's head."""
    window = it.world.flow.window(it.key)
    if window is not None and window.run_id not in refused:
        head = it.world.runs.head(window.run_id)
        if head is None or _open(head):
            return window, head
    now = it.world.clock.now()
    was = window.run_id if window is not None else None
    there = it.world.flow.move_window(it.key, was, Window(own, 0, 1, now), now)
    return there, None if there.run_id == own else it.world.runs.head(
        there.run_id
    )  # the event's own run may not exist yet


def _home(it: _Intake, number: int, run_id: str) -> str:
    """The run that all deliveries of the event try to put it into, after `number` others: this one, or another's."""
    key = f"{keys.family('home', it.spec.id)}/{it.event.id}/{number}"
    return it.world.flow.first(key, run_id, it.world.clock.now(), it.event.effective_at + EVENT_ID_MEMORY)


def _created(it: _Intake, run_id: str) -> bool:
    """Create the run with this event as its first. False: it exists."""
    now = it.world.clock.now()
    begin, reason = collect.begins(it.name, it.declared, now, now, 1), collect.reason(it.name, it.declared)
    run = create_run(it.world, NewRun(it.spec, (it.event,), run_id=run_id, begin=begin, reason=reason))
    if not run.created:
        run = restore_waits(it.world, it.spec, run)
    cancel_created(it.world, run)
    if run.created and run.head.status != "skipped":
        it.world.queue.wake(run_id, it.spec.id, run.head.not_before)
    return run.created


def _open(head: Head) -> bool:
    """Whether the run takes events, as far as its head shows."""
    return head.due is not None and head.started_at is None and head.admission is None


def _had(world: World, spec: FunctionSpec, event: Event) -> Head | None:
    """The run that already has the event."""
    for head in world.runs.of_event(event.id):
        if head.function_id == spec.id and head.parent is None and _holds(head, load(world, head), event):
            return head
    return None


def _holds(head: Head, state: RunState, event: Event) -> bool:
    """Whether it is this event that is in the run: not an older one with the same id, nor only about to be."""
    if any(e.id == event.id and abs(event.received_at - e.received_at) <= EVENT_ID_MEMORY for e in _events(state)):
        return True
    # A debounce drops events that are not the last one: an event that is earlier than the last is, or may be, dropped.
    drops = bool(state.gathered) and state.gathered[0].last
    return drops and event.id in head.event_ids and collect.joined(event) <= collect.joined(state.events[-1])


def _events(state: RunState) -> list[Event]:
    return [*state.birth.events, *(record.event for record in state.gathered if record.event is not None)]


def _join(it: _Intake, head: Head, window: Window | None) -> bool:
    """Append the event to the run that gathers; `window`: where it stands under its key. False: it never takes it.

    Bounded: each turn but the first has found a record more; a batch is full after so many, a debounce tries so often.
    """
    if head.reason == _DELAYED:  # whether its own event opens this window, or joins another one, is not known yet
        raise Unavailable(f"run {head.run_id} is about to open its window; event {it.event.id} comes again")
    known: _Known | None = None
    if window is not None and _open(head):
        known = _Known(window.seq, window.count, window.since, list(head.event_ids))
    for _ in range(_TRIES):
        if known is None or it.event.id in known.event_ids:
            state = load(it.world, head)
            if _holds(head, state, it.event):
                return True  # another delivery of the message was faster
            known = _known(head, state)
        if known.closed:
            return False
        record = _next(it, known)
        begin = collect.begins(it.name, it.declared, known.since, record.at, known.count + 1)
        answer = _write(it, head, known, record, begin)
        if not isinstance(answer, Lost):
            return isinstance(record, Gathered)
        known.add(answer.found)
    raise Unavailable(f"run {head.run_id}: others appended {_TRIES} records while event {it.event.id} was to join it")


def _known(head: Head, state: RunState) -> _Known:
    closed = state.closed or state.terminal is not None or state.first_claim is not None or state.admitted is not None
    first = state.birth.events[0]
    since = first.ts if collect.ahead(first, state.birth.at) else state.birth.at
    listed = dict.fromkeys((*head.event_ids, *(event.id for event in _events(state))))  # the head may be stale
    return _Known(state.seq, len(_events(state)), since, list(listed), closed)


def _next(it: _Intake, known: _Known) -> Gathered | WindowSet:
    """The record of the event; or, where `max_size` was lowered, the one that says that the run takes no more."""
    now = it.world.clock.now()
    if collect.full(it.name, it.declared, known.count):
        return WindowSet(now, False)
    full = collect.full(it.name, it.declared, known.count + 1)
    return Gathered(now, it.event, it.name == "debounce", full, known.seq + 1)


def _write(it: _Intake, head: Head, known: _Known, record: Gathered | WindowSet, begin: int) -> Appended | Lost:
    """Append the record, and perform its effects."""
    world, run_id = it.world, head.run_id
    came = [record.event.id] if isinstance(record, Gathered) and record.event is not None else []
    change = _moved(it, head, begin, [*(each for each in known.event_ids if each not in came), *came])
    dropped = _dropped(it, head, known) if came else []
    if dropped:
        change = msgspec.structs.replace(change, snapshot=known.seq)
    answer = append(world, run_id, known.seq + 1, [record], change)
    if isinstance(answer, Lost):
        return answer
    for each in dropped:
        world.runs.rewrite(run_id, each.number, msgspec.structs.replace(each, event=None))
    after = Window(run_id, known.seq + 1, known.count + len(came), known.since)
    world.flow.move_window(it.key, run_id, after, record.at)
    if begin <= record.at and (head.not_before or 0) - known.since > MESSAGE_DELAY:
        world.queue.forget(run_id)  # it is full before the time of its timer
    world.queue.wake(run_id, it.spec.id, begin if begin > record.at else None)
    return answer


def _dropped(it: _Intake, head: Head, known: _Known) -> list[Gathered]:
    """Drop the superseded events of a long debounce, once a snapshot has the last one.

    The writer of certain numbers does it, so each event is dropped once, and the journal stays short.
    """
    if it.name != "debounce" or known.seq == 0 or known.seq % DROPPED_EVENTS:
        return []
    state = load(it.world, head)
    if state.seq != known.seq:
        return []  # another writer was faster, and does it
    (last,) = state.events
    dropped = [each for each in state.gathered if each.event is not None and each.event != last]
    state.gathered = [each for each in state.gathered if each.event == last]
    it.world.runs.put_snapshot(head.run_id, state.seq, snapshot.encode(state))
    return dropped


def _moved(it: _Intake, head: Head, begin: int, event_ids: list[str]) -> HeadChange:
    """The head with one more event, and the times that depend on the run's new begin."""
    limits = it.spec.timeouts
    head.start_by = begin + limits.start if limits.start is not None else None
    head.finish_by = begin + limits.finish if limits.finish is not None else None
    return HeadChange(
        head.status,
        bounded(head, begin),
        collect.reason(it.name, it.declared),
        not_before=begin,
        start_by=head.start_by,
        finish_by=head.finish_by,
        event_ids=collect.listed(it.name, event_ids),
    )
