"""What flow control decides about a run before it begins, in this order; decided once, and recorded.

    idempotency   another run has this key: skipped
    singleton     ("skip") another run is under way: skipped
    rate limit    over it: skipped
    singleton     ("cancel") another run is under way: that one is cancelled
    throttle      when it may begin
    concurrency   its places: see `places`

A throttle and a rate limit bound starts, not plans: a run that is about to begin asks both again, with its places in
hand. It then waits for another turn, or is skipped after all.

What a run is turned away by later it does not count for earlier: its idempotency key is free again, and a singleton's
newcomer is no start under the rate limit.

The decision is a record in the journal (`Admitted`, or `Skipped`), so a doubled message never reserves twice. A run is
decided on at its birth, or, where it begins later (its event lies in the future, or it gathers events), at that time.
"""

from __future__ import annotations

from collections.abc import Iterable

from tidemill.core import expression, match
from tidemill.core.flow import concurrency as places
from tidemill.core.flow import keys, rate, throttle
from tidemill.core.flow.throttle import Limit, Turn
from tidemill.core.journal import Admitted, Gathered, Record, Skipped
from tidemill.core.next_action import bounded
from tidemill.core.state import RunState, Tail
from tidemill.engine.runs import append as outside
from tidemill.engine.runs import concurrency as held
from tidemill.engine.runs import end as finish
from tidemill.engine.runs.load import load, whole
from tidemill.limits import IDEMPOTENCY_MEMORY, RECHECK
from tidemill.model import Admission, Event, FunctionSpec, Head, HeadChange, Place, event_fields
from tidemill.ports import World

_AT_BIRTH = ("idempotency", "rate_limit", "singleton", "throttle")
_ELSE = (*_AT_BIRTH, "debounce", "batch")
_PATIENCE = 100  # runs that a newcomer cancels, one after the other, before it gives up for now


def at_birth(world: World, spec: FunctionSpec, run_id: str) -> bool:
    """Decide at once, where anything is decided at birth; harmless where it has been. True: nobody need look now."""
    if not any(feature in spec.flow for feature in _AT_BIRTH):
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


def known_at_birth(spec: FunctionSpec, event: Event, head: Head) -> Admission | None:
    """The decision on a run that begins at once, where it needs nothing but places: it is written with the birth."""
    if "concurrency" not in spec.flow or head.not_before is not None or any(each in spec.flow for each in _ELSE):
        return None
    return Admission(places.rank(spec, event, head.created_at), places.places(spec, event))


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
        place = held.hold(world, head, decision.admission, spec, state.seq + 2, until, line=False)
        if place is None:
            if not _starts_now(world, head, state, spec, decision, now):
                return None
            head.admission = decision.admission
            return [decision]
        head.reason = places.reason(place)
        if not _record(
            world, head, state, spec, decision, now
        ):  # before it stands in line, so that its end finds it there
            return None
    elif places.outdated(spec, head.admission.places, _is_part(head)) and not _stood_anew(
        world, head, state, spec, now
    ):
        return None
    assert head.admission is not None
    place = held.hold(world, head, head.admission, spec, state.seq + 1, until, line=True, full=place)
    if place is None:
        return [] if _starts_now(world, head, state, spec, None, now) else None
    found = world.runs.read(head.run_id, state.seq)
    state.add(found)
    if state.terminal is not None:  # another delivery was faster: the end passed by before the run stood in line
        held.leave(world, head, state, gone=False)
        return None
    for record in found:
        if isinstance(record, Admitted):  # or it has found other limits: these lines are not the run's any more
            held.leave_places(world, head, _without(head.admission, record.admission))
            return None
    due, reason = bounded(head, now + RECHECK), places.reason(place)
    if (due, reason) != (head.due, head.reason):
        world.runs.redue(head.run_id, head.due, due, reason)
    return None


def plan_anew(world: World, spec: FunctionSpec, run_id: str) -> None:
    """Give a run that waits for its turn another one, where its function's throttle is another than when it got it."""
    head, now = world.runs.head(run_id), world.clock.now()
    if head is None or head.due is None or head.started_at is not None:
        return
    state = load(world, head)
    event = state.events[-1] if state.events else None
    key = _throttle_key(spec, event)
    if state.admitted is None or state.terminal is not None or state.admitted.throttle == key:
        return
    begin = _slot(world, spec, event, now) or now
    again = Admitted(now, state.admitted.admission, begin, throttle=key)
    _record(world, head, state, spec, again, now)


def _stood_anew(world: World, head: Head, state: Tail, spec: FunctionSpec, now: int) -> bool:
    """The limits have changed since the run was decided on: it leaves its places and lines, and needs others."""
    was, all_ = head.admission, whole(world, head, state)
    assert was is not None
    event = all_.events[-1] if all_.events else None
    admission = Admission(was.rank, places.places(spec, event, _is_part(head)), was.singleton)
    before = all_.admitted
    kept = (before.begin, before.put_off, before.throttle) if before is not None else (None, 0, "")
    left = _without(was, admission)
    held.leave_places(world, head, left, state.seq)  # after the record nobody would know of these lines any more
    if not _record(world, head, state, spec, Admitted(now, admission, *kept), now):
        return False
    held.leave_places(world, head, left)  # given in between, for the claim that would have come next
    return True


def _without(was: Admission, now: Admission) -> Admission:
    """What of the places before is not needed any more."""
    needed = {place.key for place in now.places}
    return Admission(was.rank, tuple(place for place in was.places if place.key not in needed))


def _is_part(head: Head) -> bool:
    return head.parent is not None and head.parent.chunk is not None


def _starts_now(world: World, head: Head, state: Tail, spec: FunctionSpec, decided: Admitted | None, now: int) -> bool:
    """Whether the run, which has its places, is within the rate limit and the throttle as it starts; else it leaves.

    Both bound starts. When the run was decided on (just now, where `decided` says so) only a plan was made: since then
    a server may have been away, or its places taken, while the times that were planned have passed.
    """
    limited = "rate_limit" in spec.flow or "throttle" in spec.flow
    admitted = decided or state.admitted
    if not limited or _is_part(head) or head.started_at is not None or admitted is None:
        return True
    all_ = whole(world, head, state)
    event = all_.events[-1] if all_.events else None
    if decided is None and not all_.birth.again and (over := _over_rate(world, spec, head, event, now)) is not None:
        key = _idempotency_key(spec, event)
        skipped = Skipped(now, over, key.text if key is not None else "", admitted.admission.singleton)
        _record(world, head, state, spec, skipped, now)
        return False
    later = _turn_at_start(world, spec, head, event, admitted, now)
    if later is None:
        return True
    number = state.seq + 1 + (decided is not None)
    again = Admitted(now, admitted.admission, later.at, later.number, admitted.throttle)
    if _record(world, head, state, spec, again, now):  # else another delivery was faster, and may be at work
        held.step_back(world, head, admitted.admission, number)
    return False


def _turn_at_start(
    world: World, spec: FunctionSpec, head: Head, event: Event | None, admitted: Admitted, now: int
) -> Turn | None:
    """None: it is the run's turn."""
    declared = spec.flow.get("throttle")
    if declared is None:
        return None
    planned = Turn(admitted.begin if admitted.begin is not None else admitted.at, admitted.put_off)
    limit = Limit(declared["limit"], declared["period"], declared["burst"])
    return world.flow.begin(_throttle_key(spec, event), head.run_id, planned, now, limit)


def too_late(
    world: World, head: Head, state: Tail, spec: FunctionSpec, taken: Admission, found: Iterable[Record]
) -> None:
    """Events came to the run before it was claimed: give back what was taken by keys that they have changed."""
    if not any(isinstance(record, Gathered) for record in found):
        return
    event = whole(world, head, state).events[-1]
    asked = [*places.places(spec, event), _singleton(spec, event)]
    keys_now = {place.key for place in asked if place is not None}
    for place in (*taken.places, taken.singleton):
        if place is not None and place.key not in keys_now:
            held.give_back(world, head, place)


def _record(world: World, head: Head, state: Tail, spec: FunctionSpec, decision: Admitted | Skipped, now: int) -> bool:
    """Append the decision, and see to what follows from it. False: somebody else wrote first; look again."""
    if isinstance(decision, Skipped):
        change = HeadChange("skipped", now, decision.reason, ended_at=now, end=state.seq + 1)
    else:
        begin = decision.begin
        change = HeadChange(
            head.status,
            bounded(head, begin if begin is not None else now + RECHECK),
            head.reason if begin is None else _turn(world, head),
            admission=decision.admission,
            not_before=begin,
        )
    found = world.runs.append(head.run_id, state.seq + 1, [decision], change)
    if found is not None and found[:1] != [decision]:
        state.add(found)
        taken = decision.admission if isinstance(decision, Admitted) else Admission(0, (), decision.singleton)
        too_late(world, head, state, spec, taken, found)
        if state.terminal is not None and isinstance(decision, Admitted):
            head.admission = decision.admission  # nobody else knows of the place that it may have as a singleton
            held.leave(world, head, state, gone=False)
        world.queue.wake(head.run_id, head.function_id)
        return False
    state.add([decision])
    if isinstance(decision, Skipped):
        finish.finish(world, head.run_id)
        return True
    head.admission, head.due, head.reason = decision.admission, change.due, change.reason
    head.not_before = decision.begin if decision.begin is not None else head.not_before
    if decision.begin is not None:
        world.queue.wake(head.run_id, head.function_id, change.due)
    return True


def _decide(world: World, head: Head, state: RunState, spec: FunctionSpec, now: int) -> Admitted | Skipped:
    event = state.events[-1] if state.events else None
    part = _is_part(head)
    rank = places.rank(spec, event, head.not_before or head.created_at)
    admission = Admission(rank, places.places(spec, event, part))
    if part or head.started_at is not None:  # or its function had no flow control when it began
        return Admitted(now, admission)
    again = state.birth.again
    unique = None if again else _idempotency_key(spec, event)
    if unique is not None:
        other = world.flow.first(unique.text, head.run_id, now, now + IDEMPOTENCY_MEMORY)
        if other != head.run_id:
            return Skipped(now, f"run {other} has its idempotency key {unique.label!r}, for 24 hours")
    singleton = _singleton(spec, event)
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
    begin, key = _slot(world, spec, event, now), _throttle_key(spec, event)
    return Admitted(now, Admission(rank, admission.places, singleton), begin, throttle=key)


def _idempotency_key(spec: FunctionSpec, event: Event | None) -> keys.Key | None:
    """None where the key has no value, or null: such runs are all different."""
    written = spec.flow.get("idempotency")
    if written is None or event is None:
        return None
    value = expression.compile(written).value({"event": event_fields(event)})
    if value is None or value is match.MISSING:
        return None
    return keys.key(keys.family("idempotency", spec.id), written, event)


def _over_rate(world: World, spec: FunctionSpec, head: Head, event: Event | None, now: int) -> str | None:
    declared = spec.flow.get("rate_limit")
    if declared is None:
        return None
    limit, period = declared["limit"], declared["period"]
    key = keys.key(keys.family("rate", spec.id), declared.get("key"), event)
    if world.flow.count(key.text, head.run_id, now, limit, period):
        return None
    return rate.reason(limit, period, key.label)


def _singleton(spec: FunctionSpec, event: Event | None) -> Place | None:
    declared = spec.flow.get("singleton")
    if declared is None:
        return None
    key = keys.key(keys.family("singleton", spec.id), declared.get("key"), event)
    return Place(key.text, 1, "runs", key.label)


def _other_singleton(world: World, spec: FunctionSpec, head: Head, singleton: Place, token: int) -> str | None:
    """Why the run is turned away, if it is; where a newcomer cancels the old run, it does so here."""
    of = f" of {singleton.label!r}" if singleton.label else ""
    for _ in range(_PATIENCE):
        other = held.take_singleton(world, head, singleton, token)
        if other is None:
            return None
        if spec.flow["singleton"]["mode"] == "skip":
            return f"run {other}{of} is under way (singleton)"
        outside.cancel(world, other, f"run {head.run_id}{of} has come (singleton)")
    return f"run after run{of} came at once (singleton)"


def _throttle_key(spec: FunctionSpec, event: Event | None) -> str:
    """Empty where there is no throttle. What is stored under it is counted in its limit and period."""
    declared = spec.flow.get("throttle")
    if declared is None:
        return ""
    family = keys.family("throttle", spec.id, str(declared["limit"]), str(declared["period"]))
    return keys.key(family, declared.get("key"), event).text


def _slot(world: World, spec: FunctionSpec, event: Event | None, now: int) -> int | None:
    """When the throttle lets the run begin, where that lies ahead."""
    declared = spec.flow.get("throttle")
    if declared is None:
        return None
    limit, period = declared["limit"], declared["period"]
    spent = world.flow.spend(_throttle_key(spec, event), now, limit, period)
    begin = throttle.begins(spent, limit, period, declared["burst"])
    return begin if begin > now else None


def _turn(world: World, head: Head) -> str:
    spec = world.registry.function(head.function_id)
    declared = spec.flow.get("throttle") if spec is not None else None
    return throttle.reason(declared["limit"], declared["period"], "") if declared is not None else "waits for its turn"
