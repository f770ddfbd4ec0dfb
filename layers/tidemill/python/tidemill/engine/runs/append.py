"""Appends records to a run's journal, also for outsiders, while other writers append.

An outsider holds no claim. It reads the journal, decides, and appends at the next number; if that number is taken, it
folds in the new records and decides again. So a cancel, a match and a step's result never overwrite each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from tidemill.core.journal import Record, Resolved
from tidemill.core.state import RunState, Tail, Taken
from tidemill.core.step_keys import beside
from tidemill.engine.runs.load import opened, outlined
from tidemill.errors import Unavailable
from tidemill.model import Head, HeadChange, Wait
from tidemill.ports import APPENDED, Appended, Lost, World

_TRIES = 100  # to append while others append to the same run

S = TypeVar("S", bound=Tail)
Decision = tuple[Sequence[Record], HeadChange | None] | None


def append(
    world: World, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
) -> Appended | Lost:
    """Like `RunStore.append`. A write that seemed to fail may find its own records: then it succeeded."""
    answer = world.runs.append(run_id, seq, records, change)
    if isinstance(answer, Lost) and answer.found[: len(records)] == list(records):
        return APPENDED
    return answer


def tell(world: World, run_id: str, decide: Callable[[RunState], Decision]) -> bool:
    """Append the records that `decide` returns for the run's state. False: none, or there is no such run any more."""
    return _tell(world, run_id, opened(world, run_id), decide)


def _tell(world: World, run_id: str, run: tuple[Head, S] | None, decide: Callable[[S], Decision]) -> bool:
    """Bounded: each turn but the first has found a new record, and a busy run may append forever."""
    if run is None:
        return False
    state = run[1]
    for _ in range(_TRIES):
        decision = decide(state)
        if decision is None:
            return False
        records, change = decision
        answer = append(world, run_id, state.seq + 1, records, change)
        if not isinstance(answer, Lost):
            return True
        state.add(answer.found)
    raise Unavailable(f"run {run_id}: others appended {_TRIES} times in a row before the record of an outsider")


def resolve(world: World, run_id: str, function_id: str, record: Resolved) -> bool:
    """Append the end of a blocked step's wait, and wake the run. False: the run does not need it."""

    def decide(state: Tail) -> Decision:
        return ([record], None) if awaits(state, record.key) else None

    told = _tell(world, run_id, outlined(world, run_id), decide)
    world.queue.wake(run_id, function_id)  # even if the record was there before: the message may have been lost
    return told


def match(world: World, wait: Wait, record: Resolved) -> Literal["told", "kept", "over"]:
    """Resolve a wait of a run with an event.

    `kept`: the run already has this event, and the wait may get another. `over`: the wait is over.
    """
    over = False

    def decide(state: Tail) -> Decision:
        nonlocal over
        over = not awaits(state, record.key)
        if over or record.event is None:
            return None
        event_id = record.event.id
        if any(taken.event_id == event_id for taken in taken_before(state, wait, record.wait)):
            return None
        return [record], None

    told = _tell(world, wait.run_id, outlined(world, wait.run_id), decide)
    world.queue.wake(wait.run_id, wait.function_id)
    return "told" if told else "over" if over else "kept"


def awaits(state: Tail, key: str) -> bool:
    """Whether the run may still have this wait. A suspended run lists its waits; others were given up."""
    if state.terminal is not None or key in state.resolved or key in state.done:
        return False
    return state.suspended is None or key in state.blocked


def taken_before(state: Tail, wait: Wait, digest: str) -> list[Taken]:
    """The events that equal waits had taken when this one began: waits open at the same time each get an event."""
    several = state.taken.get(digest, ())
    return [taken for taken in several if taken.seq < wait.begun and not beside(taken.key, wait.key)]
