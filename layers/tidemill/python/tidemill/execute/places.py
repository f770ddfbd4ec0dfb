"""Places: held before code runs, passed on when it is left, waited for in line.

*Write, then look.* A run that finds no free place puts itself in line, then tries once more; a run that gives its place
up takes itself out, then looks who is first in line and gives the place to that one. Whoever comes second sees the
other, so no place stays free while someone waits. A run in line costs nothing: its message has been answered, and it is
looked at when it has been given a place (or, should that message be lost, within the hour).

*Nobody's death costs a place.* What a holder was doing comes back by its own message or due time, and the run holds its
place on under its next claim. Where there is no next claim the lease ends: the claim's end, or, for places that count
runs, whenever someone finds that the holder's run is over.

A run that waits for its second place keeps its first; why that cannot lock up is told in `core.flow.places`.
"""

from __future__ import annotations

from tidemill.core.flow import places
from tidemill.core.state import RunState
from tidemill.limits import GRANT, RECHECK
from tidemill.model import FunctionSpec, Head, Place, Standing
from tidemill.ports import Waiting, World


def hold(
    world: World, head: Head, standing: Standing, spec: FunctionSpec, token: int, until: int, *, line: bool
) -> Place | None:
    """Hold all of the run's places under the claim number `token`. Else the place that it has to wait for.

    `line`: stand in line for that one.
    """
    for number, each in enumerate(standing.places):
        place = Place(each.key, places.limit_now(spec, each), each.counts, each.label)
        if _take(world, head, place, standing.rank, token, until, line):
            continue
        for later in standing.places[number + 1 :]:  # granted before an earlier one was lost
            _pass_on(world, later, head.run_id, token)
        return place
    return None


def pause(world: World, head: Head, upto: int) -> None:
    """Give up what counts steps, where it is held under a claim with this number or an earlier one."""
    for place in head.standing.places if head.standing is not None else ():
        if place.counts == "steps":
            _pass_on(world, place, head.run_id, upto)


def leave(world: World, head: Head, state: RunState, gone: bool) -> int | None:
    """Give up all that an ended run holds or waits for.

    A run may be cancelled while its code runs. The code still holds its place, until it is known to be `gone`: then
    the answer is when to look again.
    """
    standing = head.standing
    if standing is None:
        return None
    if standing.alone is not None:
        _pass_on(world, standing.alone, head.run_id, None)
    now = world.clock.now()
    claim = state.overtaken
    if standing.places and claim is not None and not gone and world.liveness.alive(claim, now):
        return min(claim.until, now + RECHECK)
    for place in standing.places:
        _pass_on(world, place, head.run_id, None)
    return None


def closed(world: World, head: Head) -> None:
    """A run that is over has been looked at: if it was given a place after its end, it passes it on."""
    if head.standing is not None:
        for place in head.standing.places:
            _pass_on(world, place, head.run_id, None)


def take_alone(world: World, head: Head, place: Place, token: int) -> str | None:
    """Hold the one place of a singleton, from birth to end. Else the run that has it."""
    now = world.clock.now()
    while not world.flow.take(place, head.run_id, token, now + RECHECK, now, False):
        holder = next(iter(world.flow.holders(place.key)), None)
        if holder is None:
            continue
        if not _over(world, holder.run_id):
            return holder.run_id
        world.flow.pass_on(place, holder.run_id, None, now, now, lambda _: 0)
    return None


def _take(world: World, head: Head, place: Place, rank: int, token: int, until: int, line: bool) -> bool:
    now = world.clock.now()
    if place.counts == "runs":
        until = now + RECHECK
    if world.flow.take(place, head.run_id, token, until, now, head.reason is not None):
        return True
    if place.counts == "runs" and _bury(world, place, now):
        line = True
    if not line:
        return False
    world.flow.park(place, Waiting(head.run_id, head.function_id, token, rank), now)
    return world.flow.take(place, head.run_id, token, until, now, True)


def _bury(world: World, place: Place, now: int) -> bool:
    """Take places from runs that are over, of those not heard of for an hour; whether there was one."""
    found = False
    for holder in world.flow.holders(place.key):
        if holder.until > now:
            continue
        if _over(world, holder.run_id):
            _pass_on(world, place, holder.run_id, None)
            found = True
        else:
            world.flow.take(place, holder.run_id, holder.token, now + RECHECK, now, False)
    return found


def _over(world: World, run_id: str) -> bool:
    head = world.runs.head(run_id)
    return head is None or head.due is None


def _pass_on(world: World, place: Place, run_id: str, upto: int | None) -> None:
    now = world.clock.now()

    def limit(function_id: str) -> int:
        return places.limit_now(world.registry.function(function_id), place)

    for next_run, function_id in world.flow.pass_on(place, run_id, upto, now + GRANT, now, limit):
        world.queue.look(next_run, function_id)
