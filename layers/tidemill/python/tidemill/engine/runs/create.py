"""Creates a run: its id, its head, its first records, and the waits of events that may cancel it.

In Lambda the process that starts a run may also execute its code: then the first claim is part of the creation.

A run's id derives from its function and its event, so a doubled message starts nothing twice. What the run relies on
is written first: the waits of `cancel_on`, then the head. After that, a lookback finds events that came in between.

An event id that comes again after EVENT_ID_MEMORY starts the function again, under the next derived id. Almost every
event is new, so the run is created first, and its age is checked only if it exists. A run with `cancel_on` checks
first: its waits contain its id, and must not replace those of an older run.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill import ids
from tidemill.core import match
from tidemill.core.flow import admission, keys
from tidemill.core.journal import Admitted, Claimed, Record, Skipped, Started
from tidemill.core.next_action import bounded
from tidemill.engine.runs import match_waits
from tidemill.engine.runs.ids import chunk_id
from tidemill.engine.runs.load import load
from tidemill.limits import EVENT_ID_MEMORY, RECHECK
from tidemill.model import Event, FunctionSpec, Head, Parent, Wait, event_fields, user_key
from tidemill.ports import World


class NewRun(msgspec.Struct, frozen=True):
    """A run that is to be created. Without a `run_id` its id derives from its function and its first event.

    `parent`, `input`: the step that invoked it, and with what. `user` overrides the responsible user. `copied`: records
    of an earlier run that it begins with. `since`: events received before this cancel nothing (the receipt of the run's
    own event). `rerun_of`: the run that this one repeats. `claim`: the run is created claimed, unless it must not begin
    yet: its event lies in the future, or it collects events until `begin`, which is the `reason`.
    """

    spec: FunctionSpec
    events: Sequence[Event]
    run_id: str | None = None
    parent: Parent | None = None
    input: bytes | None = None
    user: str | None = None
    copied: Sequence[Record] = ()
    since: int | None = None
    rerun_of: str | None = None
    claim: Claimed | None = None
    begin: int | None = None
    reason: str | None = None


class CreatedRun(msgspec.Struct, frozen=True):
    """The result of a creation: head, first records, and whether the run was created (else it, or its end, exists).

    `cancelled_by`: an earlier event cancels the run, and the caller has to do so (`end.cancel_created`).
    """

    head: Head
    records: list[Record]
    created: bool
    cancelled_by: str | None = None


def create_run(world: World, new: NewRun) -> CreatedRun:
    """Create the run, with the waits that may cancel it, without a wake."""
    spec, first, now = new.spec, new.events[0], world.clock.now()
    derived = new.run_id is None
    run_id = new.run_id or ids.derived(spec.id, first.id)
    if derived and spec.cancel_on:
        run_id = _generation(world, spec.id, first, run_id)
    head = _head(world, new, run_id, now)
    waits = _cancel_waits(spec, head, first, new.since if new.since is not None else first.received_at)
    match_waits.register(world, waits)
    records = _first_records(new, head, now)
    if new.rerun_of is None and (why := drop_reason(world, spec.id)) is not None:
        _skip_at_birth(head, records, why, now)
    created = world.runs.create(head, records)
    if not created and derived and not spec.cancel_on:
        run_id = _generation(world, spec.id, first, run_id)
        if run_id != head.run_id:
            head.run_id = run_id
            created = world.runs.create(head, records)
    if not created:
        _clear_after(world, run_id, waits)
        return CreatedRun(head, records, False)
    return CreatedRun(head, records, True, _cancelled_by(world, waits))


def _first_records(new: NewRun, head: Head, now: int) -> list[Record]:
    """The first records of the run's journal; if they claim or admit the run, its head says so."""
    spec, claim = new.spec, new.claim
    records: list[Record] = [
        Started(
            now,
            spec.id,
            tuple(new.events),
            version=head.version,
            parent=new.parent,
            input=new.input,
            again=new.rerun_of is not None,
            escapes=True,
            notes=keys.notes(spec, new.events[0]) if spec.flow else (),
        ),
        *new.copied,
    ]
    if claim is not None and head.not_before is None and not spec.flow:
        records.append(claim)
        head.status, head.started_at, head.due = "running", now, bounded(head, min(claim.until, now + RECHECK))
    if spec.flow and new.input is None:
        head.admission = admission.known_at_birth(spec, new.events[-1], head)
        if head.admission is not None:
            records.insert(1, Admitted(now, head.admission))
    return records


def drop_reason(world: World, function_id: str) -> str | None:
    """Why a new run is skipped, if its function is paused and drops what comes meanwhile."""
    pause = world.pauses.of(function_id)
    return "its function was paused, and drops events" if pause is not None and pause.events == "drop" else None


def _skip_at_birth(head: Head, records: list[Record], why: str, now: int) -> None:
    """The run is created as one that was turned away, and holds nothing; `end.cancel_created` closes it."""
    records[1:] = [Skipped(now, why)]
    head.status, head.reason, head.due, head.ended_at, head.end = "skipped", why, now, now, 1
    head.admission, head.not_before, head.started_at = None, None, None


def start_chunk(world: World, spec: FunctionSpec, birth: Started, whole: Head, parent: Parent, items: bytes) -> None:
    """Start one chunk of a map: a separate run that replays its parent's code up to the map step."""
    assert parent.chunk is not None
    now = world.clock.now()
    head = Head(
        run_id=chunk_id(parent.run_id, parent.key, parent.chunk),
        function_id=spec.id,
        status="scheduled",
        created_at=now,
        due=now + RECHECK,
        version=whole.version,
        user=whole.user,
        parent=parent,
    )
    world.runs.create(head, [Started(now, spec.id, birth.events, whole.version, parent, items)])
    world.queue.wake(head.run_id, spec.id)


def first_id(world: World, spec: FunctionSpec, event: Event) -> str:
    """The id of the run that this event starts, or has started within EVENT_ID_MEMORY."""
    return _generation(world, spec.id, event, ids.derived(spec.id, event.id))


def _generation(world: World, function_id: str, event: Event, run_id: str) -> str:
    """The id, from `run_id` on, under which this event starts the function, or did within EVENT_ID_MEMORY."""
    # Terminates: each turn is a run of this id, at least a day after the one before, or one of another event.
    while _anothers(world, event, run_id):
        run_id = ids.derived(function_id, event.id, run_id)
    return run_id


def _anothers(world: World, event: Event, run_id: str) -> bool:
    """Whether a run with this id belongs to another event: an older event with the same id has started it.

    Or the event had opened a window, another one joined it first, and then a deploy removed the debounce or batch.
    """
    head = world.runs.head(run_id)
    if head is None:
        return False
    birth = world.runs.birth(run_id)
    first = birth.events[0] if birth is not None and birth.events else None
    if first is not None and first.id != event.id:
        return event.id not in head.event_ids
    return event.received_at - (first.effective_at if first is not None else head.created_at) > EVENT_ID_MEMORY


def _head(world: World, new: NewRun, run_id: str, now: int) -> Head:
    spec = new.spec
    at = new.begin if new.begin is not None else max(event.ts for event in new.events)
    not_before = at if at > now else None
    base = not_before or now
    limits = spec.timeouts
    head = Head(
        run_id=run_id,
        function_id=spec.id,
        status="scheduled",
        created_at=now,
        due=not_before or now + RECHECK,
        version=world.registry.version(spec.id),
        reason=(new.reason or "its event lies in the future") if not_before else None,
        event_ids=tuple(event.id for event in new.events),
        user=new.user if new.user is not None else user_key(new.events[0].user),
        parent=new.parent,
        finish_by=base + limits.finish if limits.finish is not None else None,
        start_by=base + limits.start if limits.start is not None else None,
        not_before=not_before,
        needs_cleanup=bool(spec.cancel_on),
        gathers=new.begin is not None,
        rerun_of=new.rerun_of,
    )
    head.due = bounded(head, head.due or now)
    return head


def _cancel_waits(spec: FunctionSpec, head: Head, event: Event, since: int) -> list[Wait]:
    waits: list[Wait] = []
    for number, cancel in enumerate(spec.cancel_on):
        condition = match.resolve(event_fields(event), match=cancel.match, when=cancel.when)
        if condition.never:
            continue
        until = since + cancel.timeout if cancel.timeout is not None else None
        waits.append(
            Wait(
                head.run_id,
                spec.id,
                f"\x1fcancel{number}",  # the id of no step
                cancel.name,
                condition,
                after=since - 1,
                until=until,
                cancel=True,
                own=event.id,
            )
        )
    return waits


def _clear_after(world: World, run_id: str, waits: Sequence[Wait]) -> None:
    """The run existed. If it has ended since, delete the waits that were just stored again."""
    head = world.runs.head(run_id) if waits else None
    if head is not None and (head.due is None or load(world, head).terminal is not None):
        world.waits.drop(run_id)


def restore_waits(world: World, spec: FunctionSpec, run: CreatedRun) -> CreatedRun:
    """Restore the `cancel_on` waits for the run's first event, since a creator that lost has stored its own event."""
    run_id = run.head.run_id
    head, birth = (world.runs.head(run_id), world.runs.birth(run_id)) if spec.cancel_on else (None, None)
    if head is None or birth is None or not birth.events:
        return run
    waits = _cancel_waits(spec, head, birth.events[0], birth.events[0].received_at)
    match_waits.register(world, waits)
    _clear_after(world, run_id, waits)
    return msgspec.structs.replace(run, cancelled_by=_cancelled_by(world, waits))


def _cancelled_by(world: World, waits: Sequence[Wait]) -> str | None:
    found = match_waits.oldest(world, waits, set())
    return f"event {found[1].name} ({found[1].id})" if found is not None else None
