"""Admission: flow control's decisions about a run before it begins, made once, in this order, and recorded.

    idempotency   another run has this key: skipped
    singleton     ("skip") another run is under way: skipped
    rate limit    over it: skipped
    singleton     ("cancel") another run is under way: that one is cancelled
    throttle      when it may begin
    concurrency   its places: see `engine.runs.concurrency`

A throttle and a rate limit bound starts, not plans: a run that is about to begin checks both again, while it holds its
places. It then waits for another turn, or is skipped after all.

What a run is turned away by later it does not count for earlier: its idempotency key is free again, and a singleton's
newcomer is no start under the rate limit.

The decision is a record in the journal (`Admitted`, or `Skipped`), so a doubled message never reserves twice. A run is
decided on at its creation, or, where it begins later (its event lies in the future, or it gathers events), at that
time.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.core.flow import concurrency as places
from tidemill.core.flow import rate, throttle
from tidemill.core.flow.admission import (
    decided_at_birth,
    held_keys,
    idempotency_key,
    is_part,
    rate_key,
    singleton_place,
    throttle_key,
    throttle_limit,
    turn_reason,
)
from tidemill.core.flow.throttle import Turn
from tidemill.core.journal import Admitted, Gathered, Record, Skipped
from tidemill.core.next_action import bounded
from tidemill.core.state import RunState, Tail
from tidemill.engine.runs import concurrency
from tidemill.engine.runs.append import append
from tidemill.engine.runs.end import cancel, finish
from tidemill.engine.runs.load import load, whole
from tidemill.limits import IDEMPOTENCY_MEMORY, RECHECK
from tidemill.model import Admission, Event, FunctionSpec, Head, HeadChange, Place
from tidemill.ports import Hold, Lost, World

_PATIENCE = 100  # runs that a new run cancels, one after the other, before it gives up for now


def at_birth(world: World, spec: FunctionSpec, run_id: str) -> bool:
    """Decide at the run's creation, if anything is to decide; harmless to do twice. True: the run needs no wake."""
    if not decided_at_birth(spec):
        return False
    head = world.runs.head(run_id)
    now = world.clock.now()
    if head is None or head.due is None or head.admission is not None or (head.not_before or 0) > now:
        return False
    state = load(world, head)
    if state.terminal is not None or state.admitted is not None:
        return False
    decision = _decide(world, head, state, spec, now)
    told = _record(world, head, state, spec, decision, now)
    return told and (isinstance(decision, Skipped) or decision.begin is not None)


def admit(world: World, head: Head, state: Tail, spec: FunctionSpec, until: int, now: int) -> list[Record] | None:
    """Whether the run may be claimed now, with the records that go before the claim; `head.admission` is then set.

    None: not now. It has been skipped, it waits for its turn or stands in line, or somebody wrote to it first.
    """
    place: Place | None = None
    head.admission = head.admission or (state.admitted.admission if state.admitted is not None else None)
    if head.admission is None:
        decision = _decide(world, head, whole(world, head, state), spec, now)
        if isinstance(decision, Skipped) or (decision.begin or 0) > now:
            _record(world, head, state, spec, decision, now)
            return None
        place = concurrency.hold(world, head, decision.admission, spec, Hold(head.run_id, state.seq + 2, until))
        if place is None:
            if not _starts_now(world, head, state, spec, decision, now):
                return None
            head.admission = decision.admission
            return [decision]
        head.reason = places.reason(place)
        # Before it stands in line, so that its end finds it there.
        if not _record(world, head, state, spec, decision, now):
            return None
    elif places.outdated(spec, head.admission.places, is_part(head)) and not _stood_anew(world, head, state, spec, now):
        return None
    assert head.admission is not None
    place = concurrency.hold_or_stand(world, head, head.admission, spec, Hold(head.run_id, state.seq + 1, until), place)
    if place is None:
        return [] if _starts_now(world, head, state, spec, None, now) else None
    found = world.runs.read(head.run_id, state.seq)
    state.add(found)
    if state.terminal is not None:  # another delivery was faster: the end passed by before the run stood in line
        concurrency.leave(world, head, state, gone=False)
        return None
    for record in found:
        if isinstance(record, Admitted):  # or it has found other limits: these lines are not the run's any more
            concurrency.leave_places(world, head, _without(head.admission, record.admission))
            return None
    due, reason = bounded(head, now + RECHECK), places.reason(place)
    if (due, reason) != (head.due, head.reason):
        world.runs.redue(head.run_id, head.due, due, reason)
    return None


def plan_anew(world: World, spec: FunctionSpec, run_id: str) -> None:
    """Give a waiting run a new turn if its function's throttle has changed since it got its turn."""
    head, now = world.runs.head(run_id), world.clock.now()
    if head is None or head.due is None or head.started_at is not None:
        return
    state = load(world, head)
    event = state.events[-1] if state.events else None
    key = throttle_key(spec, event)
    if state.admitted is None or state.terminal is not None or state.admitted.throttle == key:
        return
    begin = _slot(world, spec, event, now) or now
    again = Admitted(now, state.admitted.admission, begin, throttle=key)
    _record(world, head, state, spec, again, now)


def _stood_anew(world: World, head: Head, state: Tail, spec: FunctionSpec, now: int) -> bool:
    """The limits have changed since the decision: the run leaves its places and lines, and needs others."""
    was, all_ = head.admission, whole(world, head, state)
    assert was is not None
    event = all_.events[-1] if all_.events else None
    admission = Admission(was.rank, places.places(spec, event, is_part(head)), was.singleton)
    before = all_.admitted
    kept = (before.begin, before.put_off, before.throttle) if before is not None else (None, 0, "")
    left = _without(was, admission)
    concurrency.leave_places(world, head, left, state.seq)  # after the record these lines would be unknown
    if not _record(world, head, state, spec, Admitted(now, admission, *kept), now):
        return False
    concurrency.leave_places(world, head, left)  # given in between, for the claim that would have come next
    return True


def _without(was: Admission, now: Admission) -> Admission:
    """The earlier places that are no longer needed."""
    needed = {place.key for place in now.places}
    return Admission(was.rank, tuple(place for place in was.places if place.key not in needed))


def _starts_now(world: World, head: Head, state: Tail, spec: FunctionSpec, decided: Admitted | None, now: int) -> bool:
    """Whether the run, which has its places, is within the rate limit and the throttle as it starts; else it leaves.

    Both bound starts. When the run was decided on (just now, where `decided` says so) only a plan was made: since then
    a server may have been away, or its places taken, while the times that were planned have passed.
    """
    limited = "rate_limit" in spec.flow or "throttle" in spec.flow
    admitted = decided or state.admitted
    if not limited or is_part(head) or head.started_at is not None or admitted is None:
        return True
    all_ = whole(world, head, state)
    event = all_.events[-1] if all_.events else None
    if decided is None and not all_.birth.again and (over := _over_rate(world, spec, head, event, now)) is not None:
        key = idempotency_key(spec, event)
        skipped = Skipped(now, over, key.text if key is not None else "", admitted.admission.singleton)
        _record(world, head, state, spec, skipped, now)
        return False
    later = _turn_at_start(world, spec, head, event, admitted, now)
    if later is None:
        return True
    number = state.seq + 1 + (decided is not None)
    again = Admitted(now, admitted.admission, later.at, later.number, admitted.throttle)
    if _record(world, head, state, spec, again, now):  # else another delivery was faster, and may be at work
        concurrency.step_back(world, head, admitted.admission, number)
    return False


def _turn_at_start(
    world: World, spec: FunctionSpec, head: Head, event: Event | None, admitted: Admitted, now: int
) -> Turn | None:
    """The turn to wait for; None: it is the run's turn."""
    limit = throttle_limit(spec)
    if limit is None:
        return None
    planned = Turn(admitted.begin if admitted.begin is not None else admitted.at, admitted.put_off)
    return world.flow.begin(throttle_key(spec, event), head.run_id, planned, now, limit)


def too_late(
    world: World, head: Head, state: Tail, spec: FunctionSpec, taken: Admission, found: Iterable[Record]
) -> None:
    """Events came to the run before it was claimed: give back what was taken by keys that they have changed."""
    if not any(isinstance(record, Gathered) for record in found):
        return
    event = whole(world, head, state).events[-1]
    keys_now = held_keys(spec, event)
    for place in (*taken.places, taken.singleton):
        if place is not None and place.key not in keys_now:
            concurrency.give_back(world, head, place)


def _record(world: World, head: Head, state: Tail, spec: FunctionSpec, decision: Admitted | Skipped, now: int) -> bool:
    """Append the decision, and see to what follows from it. False: somebody else wrote first; look again."""
    if isinstance(decision, Skipped):
        change = HeadChange("skipped", now, decision.reason, ended_at=now, end=state.seq + 1)
    else:
        begin = decision.begin
        change = HeadChange(
            head.status,
            bounded(head, begin if begin is not None else now + RECHECK),
            head.reason if begin is None else turn_reason(world.registry.function(head.function_id)),
            admission=decision.admission,
            not_before=begin,
        )
    answer = append(world, head.run_id, state.seq + 1, [decision], change)
    if isinstance(answer, Lost):
        state.add(answer.found)
        taken = decision.admission if isinstance(decision, Admitted) else Admission(0, (), decision.singleton)
        too_late(world, head, state, spec, taken, answer.found)
        if state.terminal is not None and isinstance(decision, Admitted):
            head.admission = decision.admission  # nobody else knows of the place that it may have as a singleton
            concurrency.leave(world, head, state, gone=False)
        world.queue.wake(head.run_id, head.function_id)
        return False
    state.add([decision])
    if isinstance(decision, Skipped):
        finish(world, head.run_id)
        return True
    head.admission, head.due, head.reason = decision.admission, change.due, change.reason
    head.not_before = decision.begin if decision.begin is not None else head.not_before
    if decision.begin is not None:
        world.queue.wake(head.run_id, head.function_id, change.due)
    return True


def _decide(world: World, head: Head, state: RunState, spec: FunctionSpec, now: int) -> Admitted | Skipped:
    event = state.events[-1] if state.events else None
    part = is_part(head)
    rank = places.rank(spec, event, head.not_before or head.created_at)
    admission = Admission(rank, places.places(spec, event, part))
    if part or head.started_at is not None:  # or its function had no flow control when it began
        return Admitted(now, admission)
    again = state.birth.again
    unique = None if again else idempotency_key(spec, event)
    if unique is not None:
        other = world.flow.first(unique.text, head.run_id, now, now + IDEMPOTENCY_MEMORY)
        if other != head.run_id:
            return Skipped(now, f"run {other} has its idempotency key {unique.label!r}, for 24 hours")
    singleton = singleton_place(spec, event)
    waits = singleton is not None and spec.flow["singleton"]["mode"] == "skip"
    over = _other_singleton(world, spec, head, singleton, state.seq + 1) if singleton is not None and waits else None
    if over is None and not again:
        over = _over_rate(world, spec, head, event, now)
        if over is not None and waits:
            return Skipped(now, over, unique.text if unique is not None else "", singleton)
    if over is None and singleton is not None and not waits:  # who is over the rate cancels nobody
        over = _other_singleton(world, spec, head, singleton, state.seq + 1)
    if over is not None:
        return Skipped(now, over, unique.text if unique is not None else "")
    begin, key = _slot(world, spec, event, now), throttle_key(spec, event)
    return Admitted(now, Admission(rank, admission.places, singleton), begin, throttle=key)


def _over_rate(world: World, spec: FunctionSpec, head: Head, event: Event | None, now: int) -> str | None:
    declared = spec.flow.get("rate_limit")
    if declared is None:
        return None
    limit, period = declared["limit"], declared["period"]
    key = rate_key(spec, event)
    if world.flow.count(key.text, head.run_id, now, limit, period):
        return None
    return rate.reason(limit, period, key.label)


def _other_singleton(world: World, spec: FunctionSpec, head: Head, singleton: Place, token: int) -> str | None:
    """Why the run is turned away, if it is; where a newcomer cancels the old run, it does so here."""
    of = f" of {singleton.label!r}" if singleton.label else ""
    for _ in range(_PATIENCE):
        other = concurrency.take_singleton(world, head, singleton, token)
        if other is None:
            return None
        if spec.flow["singleton"]["mode"] == "skip":
            return f"run {other}{of} is under way (singleton)"
        cancel(world, other, f"run {head.run_id}{of} has come (singleton)")
    return f"run after run{of} came at once (singleton)"


def _slot(world: World, spec: FunctionSpec, event: Event | None, now: int) -> int | None:
    """When the throttle lets the run begin, where that lies ahead."""
    declared = throttle_limit(spec)
    if declared is None:
        return None
    spent = world.flow.spend(throttle_key(spec, event), now, declared.limit, declared.period)
    begin = throttle.begins(spent, *declared)
    return begin if begin > now else None
