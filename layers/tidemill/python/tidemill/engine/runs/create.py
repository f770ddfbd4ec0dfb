"""How a run comes into being: its id, its head, its first record, and what may cancel it.

Whoever starts a run may also be the one to run its code (in Lambda): then the first claim rides in its creation.

A run's id derives from its function and its event, so a doubled message starts nothing twice. What the run relies on
is written first: the waits of `cancel_on`, then the head. After it, a look back for what came in between.

An event id that comes again after its memory has passed starts the function anew, under the next id derived. Almost
every event is new, so the run is created first, and only where it exists does anyone look how old it is. A run with
`cancel_on` looks first: its waits carry its id, and must not take the place of an older run's.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill import ids
from tidemill.core import match
from tidemill.core.flow import keys
from tidemill.core.journal import Admitted, Claimed, Record, Started
from tidemill.core.next_action import bounded
from tidemill.engine.intake import admit
from tidemill.engine.runs import append as outside
from tidemill.engine.runs import match_waits
from tidemill.engine.runs.load import load
from tidemill.limits import EVENT_ID_MEMORY, RECHECK
from tidemill.model import Event, FunctionSpec, Head, Parent, Wait, event_fields, user_key
from tidemill.ports import World


class Born(msgspec.Struct, frozen=True):
    """A run that was to be created: its head, its first records, and whether it was (else it, or its end, exists)."""

    head: Head
    records: list[Record]
    created: bool


def start(
    world: World,
    spec: FunctionSpec,
    events: Sequence[Event],
    *,
    run_id: str | None = None,
    parent: Parent | None = None,
    input: bytes | None = None,
    user: str | None = None,
    copied: Sequence[Record] = (),
    since: int | None = None,
    again: bool = False,
) -> str | None:
    """Start a run of this function. The run's id, or None where these events have started it before.

    `copied`: records of an earlier run that this one begins with. `user` overrides who is responsible. `since`: events
    received before this cancel nothing (the receipt of the run's own event). `again`: a rerun by hand.
    """
    born = bear(
        world, spec, events, run_id=run_id, parent=parent, input=input, user=user, copied=copied, since=since,
        again=again,
    )  # fmt: skip
    if not (spec.flow and admit.at_birth(world, spec, born.head.run_id)):
        world.queue.wake(born.head.run_id, spec.id, born.head.not_before)
    return born.head.run_id if born.created else None


def bear(
    world: World,
    spec: FunctionSpec,
    events: Sequence[Event],
    *,
    run_id: str | None = None,
    parent: Parent | None = None,
    input: bytes | None = None,
    user: str | None = None,
    copied: Sequence[Record] = (),
    since: int | None = None,
    claim: Claimed | None = None,
    again: bool = False,
    begin: int | None = None,
    reason: str | None = None,
) -> Born:
    """Create the run, and see to what may cancel it; nobody is told to look at it yet.

    With a `claim` it is born claimed, unless it must not begin yet: its event lies in the future, or it gathers events
    until `begin`, which is the `reason`.
    """
    first = events[0]
    derived = run_id is None
    run_id = run_id or ids.derived(spec.id, first.id)
    if derived and spec.cancel_on:
        run_id = _generation(world, spec.id, first, run_id)
    now = world.clock.now()
    head = _head(world, spec, events, run_id, parent, user, now, begin, reason)
    waits = _cancel_waits(spec, head, first, since if since is not None else first.received_at)
    match_waits.register(world, waits)
    records: list[Record] = [
        Started(
            now,
            spec.id,
            tuple(events),
            version=head.version,
            parent=parent,
            input=input,
            again=again,
            escapes=True,
            notes=keys.notes(spec, first) if spec.flow else (),
        ),
        *copied,
    ]
    if claim is not None and head.not_before is None and not spec.flow:
        records.append(claim)
        head.status, head.started_at, head.due = "running", now, bounded(head, min(claim.until, now + RECHECK))
    if spec.flow and input is None:
        head.admission = admit.known_at_birth(spec, events[-1], head)
        if head.admission is not None:
            records.insert(1, Admitted(now, head.admission))
    created = world.runs.create(head, records)
    if not created and derived and not spec.cancel_on:
        run_id = _generation(world, spec.id, first, run_id)
        if run_id != head.run_id:
            head.run_id = run_id
            created = world.runs.create(head, records)
    if not created:
        _clear_after(world, run_id, waits)
    else:
        _cancelled_already(world, run_id, waits)
    return Born(head, records, created)


def start_chunk(world: World, spec: FunctionSpec, birth: Started, whole: Head, parent: Parent, items: bytes) -> None:
    """Start one part of a map: a run of its own that replays its parent's code up to the map step."""
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


def chunk_id(run_id: str, key: str, number: int) -> str:
    """The id of a part of a map."""
    return ids.derived(run_id, key, "chunk", str(number))


def child_id(run_id: str, key: str) -> str:
    """The id of a run that a step invokes."""
    return ids.derived(run_id, key, "invoke")


def first_id(world: World, spec: FunctionSpec, event: Event) -> str:
    """The id of the run that this event starts, or has started within the memory of its id."""
    return _generation(world, spec.id, event, ids.derived(spec.id, event.id))


def _generation(world: World, function_id: str, event: Event, run_id: str) -> str:
    """The id, from `run_id` on, under which this event starts the function, or has within the memory of its id."""
    # Ends: each turn is a run that this id began, at least a day after the one before, or one of another event.
    while _anothers(world, event, run_id):
        run_id = ids.derived(function_id, event.id, run_id)
    return run_id


def _anothers(world: World, event: Event, run_id: str) -> bool:
    """Whether there is a run with this id that is not the event's: an older event with the same id has started it.

    Or the event had opened a window, another one came to it first, and then a deploy took the debounce or batch away.
    """
    head = world.runs.head(run_id)
    if head is None:
        return False
    birth = world.runs.birth(run_id)
    first = birth.events[0] if birth is not None and birth.events else None
    if first is not None and first.id != event.id:
        return event.id not in head.event_ids
    return event.received_at - (first.effective_at if first is not None else head.created_at) > EVENT_ID_MEMORY


def _head(
    world: World,
    spec: FunctionSpec,
    events: Sequence[Event],
    run_id: str,
    parent: Parent | None,
    user: str | None,
    now: int,
    begin: int | None = None,
    reason: str | None = None,
) -> Head:
    at = begin if begin is not None else max(event.ts for event in events)
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
        reason=(reason or "its event lies in the future") if not_before else None,
        event_ids=tuple(event.id for event in events),
        user=user if user is not None else user_key(events[0].user),
        parent=parent,
        finish_by=base + limits.finish if limits.finish is not None else None,
        start_by=base + limits.start if limits.start is not None else None,
        not_before=not_before,
        needs_cleanup=bool(spec.cancel_on),
        gathers=begin is not None,
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
    """The run existed. If it has ended since, the waits that were just put again must not stay behind."""
    head = world.runs.head(run_id) if waits else None
    if head is not None and (head.due is None or load(world, head).terminal is not None):
        world.waits.drop(run_id)


def restore_waits(world: World, spec: FunctionSpec, run_id: str) -> None:
    """What cancels a run goes by its first event; who was to create the run, and lost, has put its own event there."""
    head, birth = (world.runs.head(run_id), world.runs.birth(run_id)) if spec.cancel_on else (None, None)
    if head is None or birth is None or not birth.events:
        return
    waits = _cancel_waits(spec, head, birth.events[0], birth.events[0].received_at)
    match_waits.register(world, waits)
    _clear_after(world, run_id, waits)
    _cancelled_already(world, run_id, waits)


def _cancelled_already(world: World, run_id: str, waits: Sequence[Wait]) -> None:
    found = match_waits.oldest(world, waits, set())
    if found is not None:
        outside.cancel(world, run_id, f"event {found[1].name} ({found[1].id})")
