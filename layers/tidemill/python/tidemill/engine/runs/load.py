"""Loads a run's state from the stores: its snapshot, if its head names one, and the records after it."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.core import snapshot
from tidemill.core.journal import Record
from tidemill.core.state import RunState, Tail
from tidemill.model import Event, Head
from tidemill.ports import World


def current(world: World, run_id: str) -> tuple[Head, RunState] | None:
    """Any run: its head and its folded state, both from one moment."""
    found = world.runs.open(run_id)
    return None if found is None else (found[0], _folded(world, *found))


def opened(world: World, run_id: str) -> tuple[Head, RunState] | None:
    """A run that is not closed: its head and its folded state."""
    found = world.runs.open(run_id)
    if found is None or found[0].due is None:
        return None
    return found[0], _folded(world, *found)


def outlined(world: World, run_id: str) -> tuple[Head, Tail] | None:
    """Like `opened`, for resolving a blocked step: without the steps that a snapshot lists as done, of which a long run
    has many.
    """
    found = world.runs.open(run_id)
    if found is None or found[0].due is None:
        return None
    head, records = found
    data = world.runs.snapshot(run_id, first(head) - 1) if first(head) else None
    state = snapshot.outline(data) if data is not None else None
    if state is None or state.seq != first(head) - 1:
        return head, _folded(world, head, records)
    state.add(records)
    return head, state if state.suspended is not None else _folded(world, head, records)


def load(world: World, head: Head) -> RunState:
    """The folded state of a run, never stale."""
    return _folded(world, head, world.runs.read(head.run_id, first(head) - 1))


def _folded(world: World, head: Head, records: list[Record]) -> RunState:
    state = restored(head, first(head), world.runs.snapshot)
    if state is None:
        state, records = RunState(), world.runs.read(head.run_id)
    state.add(records)
    return state


def own_event(world: World, run_id: str) -> Event | None:
    """The event that started a run: of several, the first that its code receives."""
    head = world.runs.head(run_id)
    if head is not None and head.gathers:
        return load(world, head).events[0]
    birth = world.runs.birth(run_id)
    return birth.events[0] if birth is not None and birth.events else None


def first(head: Head) -> int:
    """The number of the first record after the head's snapshot."""
    return head.snapshot + 1 if head.snapshot is not None else 0


def restored(head: Head, base: int, snapshot_of: Callable[[str, int], bytes | None]) -> RunState | None:
    """The state before the records from number `base` on. None: the snapshot is gone, read all records."""
    if base == 0:
        return RunState()
    data = snapshot_of(head.run_id, base - 1)
    state = snapshot.decode(data) if data is not None else None
    return state if state is not None and state.seq == base - 1 else None


def tail(base: int, records: list[Record]) -> Tail:
    """The state that the records from `base` on give: enough to decide the next action."""
    state = RunState() if base == 0 else Tail(seq=base - 1)
    state.add(records)
    return state


def whole(world: World, head: Head, known: Tail) -> RunState:
    """The whole state, if `known` is only the tail."""
    return known if isinstance(known, RunState) else load(world, head)
