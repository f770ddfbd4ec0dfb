"""Places of concurrency limits: a run takes them before its code runs, waits in line for them, and passes them on.

*Write, then read.* A run that finds no free place puts itself in line, then checks once more; a run that gives up its
place gives it to the first in line. The second of the two sees the other, so no place stays free while a run waits, and
then no other run gets one. A run in line costs nothing: its message is acknowledged, and it is woken when it has been
given a place. If that message is lost, the run is checked within the hour; and a run that joins the line, or is found
there, gives free places to the first.

*No crash costs a place.* A holder's work comes back by its own message or due time, and the run keeps its place under
its next claim. Without a next claim the lease ends: at the claim's end, or, for places that count runs, when another
run finds that the holder's run is over.

A run that waits for its second place keeps its first; `core.flow.concurrency` says why that cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from tidemill.core.flow import concurrency as places
from tidemill.core.journal import Skipped
from tidemill.core.state import Tail
from tidemill.errors import Unavailable
from tidemill.limits import GRANT, RECHECK
from tidemill.model import Admission, FunctionSpec, Head, Place
from tidemill.ports import Grant, Hold, Leaver, Waiting, World

_TRIES = 20  # to take a place that others take first each time


def hold(world: World, head: Head, admission: Admission, spec: FunctionSpec, hold: Hold) -> Place | None:
    """Take all of the run's places. Else return the first that is not free."""
    return next((each for each in admission.places if not _take(world, head, as_declared(spec, each), hold)), None)


def hold_or_stand(
    world: World, head: Head, admission: Admission, spec: FunctionSpec, hold: Hold, full: Place | None
) -> Place | None:
    """Take all of the run's places. Else return the place in whose line the run now waits.

    `full`: a place that was not free a moment ago; those before it are taken.
    """
    taken = full is not None
    for number, each in enumerate(admission.places):
        known = full is not None and each.key == full.key
        taken = taken and not known
        place = as_declared(spec, each)
        if taken or (not known and _take(world, head, place, hold)):
            continue
        if _stand(world, head, place, admission.rank, hold):
            continue
        for later in admission.places[number + 1 :]:  # given before an earlier place was lost
            _pass_on(world, later, head.run_id, hold.token)
        return place
    return None


def as_declared(spec: FunctionSpec | None, place: Place) -> Place:
    """The place with the limit that is declared at present."""
    return Place(place.key, places.limit_now(spec, place), place.counts, place.label)


def pause(world: World, head: Head, upto: int) -> None:
    """Give up the places that count steps, if held under a claim with this number or an earlier one."""
    for place in head.admission.places if head.admission is not None else ():
        if place.counts == "steps":
            _pass_on(world, place, head.run_id, upto)


def leave(world: World, head: Head, state: Tail, gone: bool) -> int | None:
    """Give up all places of an ended run, and its positions in lines.

    A run may be cancelled while its code runs. The code keeps its place until it is known to be `gone`: then the
    answer is when to check again.
    """
    admission = head.admission
    if admission is None:
        return None
    now = world.clock.now()
    claim = state.overtaken
    if admission.places and claim is not None and not gone and world.liveness.alive(claim, now):
        if admission.singleton is not None:
            _pass_on(world, admission.singleton, head.run_id, None)
        return min(claim.until, now + RECHECK)
    end(world, head)
    return None


def serve(world: World, place: Place) -> None:
    """Give the free places to the first in line: the limit may have been raised."""
    _pass_on(world, place, "serve", None)


def leave_places(world: World, head: Head, admission: Admission, upto: int | None = None) -> None:
    """Give up these places, if held under a claim up to this number, and the positions in their lines."""
    for place in admission.places:
        _pass_on(world, place, head.run_id, upto, admission.rank)


def step_back(world: World, head: Head, admission: Admission, upto: int) -> None:
    """Give up the places that were taken for a claim with this number, which was not made."""
    for place in admission.places:
        _pass_on(world, place, head.run_id, upto)


def end(world: World, head: Head) -> None:
    """Give up all places that an ended run holds, or may have been given since."""
    if head.admission is not None:
        for place in head.admission.places:
            _pass_on(world, place, head.run_id, None, head.admission.rank)
        if head.admission.singleton is not None:
            _pass_on(world, head.admission.singleton, head.run_id, None)


def take_singleton(world: World, head: Head, place: Place, token: int) -> str | None:
    """Take the one place of a singleton, from the run's creation to its end. Else return the run that has it.

    Bounded: another run may be faster each time that the place is free.
    """
    now = world.clock.now()
    for _ in range(_TRIES):
        if world.flow.take(place, Hold(head.run_id, token, now + RECHECK), now, known=False):
            return None
        holder = next(iter(world.flow.holders(place.key)), None)
        if holder is None:
            continue
        if holder.run_id == head.run_id:  # under a later number: this decision is stale, and will lose its append
            return None
        if not _over(world, holder.run_id):
            return holder.run_id
        _free(world, place, holder.run_id, now)
    raise Unavailable(f"run {head.run_id}: the place of a singleton was freed and taken {_TRIES} times in a row")


def turned_away(world: World, head: Head, skipped: Skipped) -> None:
    """Release what a run had taken before it was skipped."""
    if skipped.unique:
        world.flow.forget(skipped.unique, head.run_id)
    if skipped.singleton is not None:
        give_back(world, head, skipped.singleton)


def give_back(world: World, head: Head, place: Place) -> None:
    """Give up a place that was taken for a decision that was lost."""
    _pass_on(world, place, head.run_id, None)


def _take(world: World, head: Head, place: Place, hold: Hold) -> bool:
    now = world.clock.now()
    runs = place.counts == "runs"
    hold = _of_run(hold, now) if runs else hold
    known = head.reason == places.reason(place) or (runs and head.started_at is not None)
    if world.flow.take(place, hold, now, known=known):
        return True
    return runs and _bury(world, place, now) and world.flow.take(place, hold, now, known=known)


def _stand(world: World, head: Head, place: Place, rank: int, hold: Hold) -> bool:
    """Join the line; return whether the run got its place at once."""
    now = world.clock.now()
    waiting = Waiting(head.run_id, head.function_id, hold.token, rank)
    granted = world.flow.park(place, waiting, Grant(now, now + GRANT, _limit(world, place)))
    for run_id, function_id in granted:
        if run_id != head.run_id:
            world.queue.wake(run_id, function_id)
    if all(run_id != head.run_id for run_id, _ in granted):
        return False
    return world.flow.take(place, _of_run(hold, now) if place.counts == "runs" else hold, now, known=True)


def _of_run(hold: Hold, now: int) -> Hold:
    """Whether the place counts runs: it is kept beyond the claim, and a later reader checks whether the run is over."""
    return replace(hold, until=now + RECHECK)


def _bury(world: World, place: Place, now: int) -> bool:
    """Take places from runs that are over, among those unchanged for an hour; return whether there was one."""
    found = False
    for holder in world.flow.holders(place.key):
        if holder.until > now:
            continue
        if _over(world, holder.run_id):
            _free(world, place, holder.run_id, now)
            found = True
        else:
            none = Place(place.key, 0, place.counts, place.label)  # kept, not taken again
            world.flow.take(none, replace(holder, until=now + RECHECK), now, known=True)
    return found


def _free(world: World, place: Place, run_id: str, now: int) -> None:
    """Take the place from a run that is over, and do not give it to another: the caller asks for it next."""
    world.flow.pass_on(place, Leaver(run_id), Grant(now, now, lambda _: 0))


def _over(world: World, run_id: str) -> bool:
    head = world.runs.head(run_id)
    return head is None or head.due is None


def _pass_on(world: World, place: Place, run_id: str, upto: int | None, rank: int | None = None) -> None:
    now = world.clock.now()
    granted = world.flow.pass_on(place, Leaver(run_id, upto, rank), Grant(now, now + GRANT, _limit(world, place)))
    for next_run, function_id in granted:
        world.queue.wake(next_run, function_id)


def _limit(world: World, place: Place) -> Callable[[str], int]:
    def limit(function_id: str) -> int:
        return places.limit_now(world.registry.function(function_id), place)

    return limit
