"""Claims a run if its code can continue, and otherwise performs its next action.

No user code runs before its executor has appended a claim. The executor that gets the claim's number runs the code; all
others, and the executor that is presumed dead, lose their next append and stop.
"""

from __future__ import annotations

import msgspec

from tidemill.core.journal import Claimed, Ended, Record
from tidemill.core.next_action import UNBEGUN, Action, bounded, next_action
from tidemill.core.state import RunState, Tail
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import admit, collect
from tidemill.engine.runs import concurrency, paused, renew
from tidemill.engine.runs.append import append
from tidemill.engine.runs.end import cancel, closing, finish
from tidemill.engine.runs.load import first, tail
from tidemill.errors import Unavailable
from tidemill.limits import RECHECK
from tidemill.model import Failure, FunctionSpec, Head, HeadChange
from tidemill.ports import Lost, World

_NOTHING: list[Record] = []
_TRIES = 100  # to claim a run while others append to it


class Opened(msgspec.Struct, frozen=True):
    """A claimed run: its head, its function, and its journal from number `base` up to and with the claim.

    Where `base` is not 0, the snapshot that the head names holds what came before.
    """

    head: Head
    spec: FunctionSpec
    records: list[Record]
    base: int = 0


def open_run(world: World, run_id: str, by: str, until: int) -> Opened | None:
    """Claim the run for the executor `by` until then, if its code can continue now; else perform its action, and None.

    Bounded: each turn but the first has found a record more, and many may append to a run at the same time.
    """
    whole = world.runs.open(run_id)
    if whole is None:
        return None
    head, records = whole
    if head.due is None:
        concurrency.end(world, head)
        return None
    base = first(head)
    state = tail(base, records)
    spec = world.registry.function(head.function_id)
    head.needs_cleanup = head.needs_cleanup or bool(state.begun)
    renew.before(world, head, world.clock.now())
    for _ in range(_TRIES):
        now = world.clock.now()
        decision, alive = _decision(world, head, state, spec, now)
        if decision.do != "claim" or spec is None:
            _not_now(world, head, state, decision, alive, now)
            return None
        if isinstance(state, RunState) and collect.gathers(spec) and collect.delayed(head, state):
            collect.join_window(world, spec, head, state)
            return None
        limited = spec.flow or (head.admission is not None and head.admission.places)  # or was, before a deploy
        before = admit.admit(world, head, state, spec, until, now) if limited else _NOTHING
        if before is None:
            return None
        if base + len(records) <= state.seq:  # a decision was appended before the claim
            records = world.runs.read(run_id, base - 1)[: state.seq + 1 - base]  # more may have come since
        claim = Claimed(now, by, until, head.version)
        change = HeadChange(
            status="running",
            due=bounded(head, min(until, now + RECHECK)),
            attempt=max(state.attempt, head.attempt),
            started_at=head.started_at or now,
            admission=head.admission if before else None,
        )
        answer = append(world, run_id, state.seq + 1, [*before, claim], change)
        if not isinstance(answer, Lost):
            records += [*before, claim]
            head.status, head.started_at, head.reason = "running", change.started_at, None
            head.attempt = change.attempt or head.attempt
            return Opened(head, spec, records, base)
        records.extend(answer.found)
        state.add(answer.found)
        if spec.flow:  # what was written may have changed more of the head than the journal tells
            taken = head.admission
            head = world.runs.head(run_id) or head
            if taken is not None:
                admit.too_late(world, head, state, spec, taken, answer.found)
            if state.terminal is not None:  # its places were taken for a claim that comes too late
                head.admission = head.admission or taken
                concurrency.leave(world, head, state, gone=False)
    raise Unavailable(f"run {run_id}: others appended {_TRIES} times in a row while it was to be claimed")


def attend(world: World, run_id: str) -> bool:
    """Perform a run's action that needs no executor. False: its code can continue, so call `open_run`."""
    whole = world.runs.open(run_id)
    if whole is None or whole[0].due is None:
        return False
    head, records = whole
    state = tail(first(head), records)
    now = world.clock.now()
    decision, alive = _decision(world, head, state, world.registry.function(head.function_id), now)
    if decision.do == "claim":
        return False
    _not_now(world, head, state, decision, alive, now)
    return True


def settle(world: World, run_id: str) -> bool:
    """End what a run has left to end, by its journal or its timeouts, though its function is not declared. False: none.

    Nobody receives its messages, so no executor does this.
    """
    whole = world.runs.open(run_id)
    if whole is None or whole[0].due is None:
        return True
    head, records = whole
    state, now = tail(first(head), records), world.clock.now()
    decision, _ = _decision(world, head, state, None, now)
    if decision.do not in ("finish", "cancel"):
        return False
    _otherwise(world, head, state, decision, now)
    return True


def _decision(world: World, head: Head, state: Tail, spec: FunctionSpec | None, now: int) -> tuple[Action, bool]:
    """The run's next action, and whether the executor that claimed it may still be at work."""
    alive = state.claim is not None and world.liveness.alive(state.claim, now)
    return paused.checked(world, head, next_action(state, head, spec, alive, now)), alive


def _not_now(world: World, head: Head, state: Tail, decision: Action, alive: bool, now: int) -> None:
    """Do what the run needs, and have it leave the places that it does not need meanwhile."""
    _otherwise(world, head, state, decision, now)
    if not alive and state.terminal is None:  # an end gives up its places where its code is known to be gone
        concurrency.pause(world, head, state.seq + (decision.do == "hold"))


def _otherwise(world: World, head: Head, state: Tail, decision: Action, now: int) -> None:
    """What a run needs whose code cannot go on now."""
    if decision.do == "finish":
        finish(world, head.run_id)
    elif decision.do == "cancel":
        cancel(world, head.run_id, decision.reason, unbegun=decision.reason == UNBEGUN)
    elif decision.do == "hold":
        _hold(world, head, decision.reason, now)
    elif decision.do == "fail":
        _fail(world, head, state, decision.reason, now)
    else:
        _later(world, head, decision.at, now)


def _later(world: World, head: Head, at: int, now: int) -> None:
    due = bounded(head, min(at or now + RECHECK, now + RECHECK) if head.status == "running" else at or now + RECHECK)
    if due != head.due:
        world.runs.redue(head.run_id, head.due, due)
    world.queue.wake(head.run_id, head.function_id, due, due == now + RECHECK)


def _hold(world: World, head: Head, reason: str, now: int) -> None:
    due = bounded(head, now + RECHECK)
    world.runs.redue(head.run_id, head.due, due, reason)
    world.queue.wake(head.run_id, head.function_id, due, due == now + RECHECK)


def _fail(world: World, head: Head, state: Tail, reason: str, now: int) -> None:
    """A run whose process dies again and again between its steps."""
    failure = Failure(type="Crashed", message=reason, retriable=False)
    ended = Ended(now, "failed", failure=failure)
    StoreKeeper(world).append(head, state.seq + 1, [ended], closing(ended, state.seq + 1))
