"""Reruns: a new run for the same events, from the start or from one of the old run's steps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill import ids, values
from tidemill.core.journal import Begun, HandedOver, Record, Resolved, StepDone, StepTried, Suspended
from tidemill.core.state import RunState, fold
from tidemill.core.step_keys import escaped, step_of
from tidemill.engine.intake.start import start
from tidemill.engine.runs.create import NewRun
from tidemill.model import Event
from tidemill.ports import World


def rerun(
    world: World, run_id: str, from_step: str | None = None, input: bytes | None = None, id: str | None = None
) -> str:
    """Start a new run like this one; its id. `input` (encoded) takes the place of the event's data. The same `id` again
    gives the same run.

    With `from_step` the new run remembers what the old one did before it first reached that step. Raises LookupError,
    with one sentence, where there is no such run, step or function.
    """
    head = world.runs.head(run_id)
    if head is None:
        raise LookupError(f"no run has the id {run_id!r}; `tidemill runs list` shows the latest")
    if head.parent is not None and head.parent.chunk is not None:
        raise LookupError(f"run {run_id} is a part of a map; run its parent {head.parent.run_id} again")
    spec = world.registry.function(head.function_id)
    if spec is None:
        raise LookupError(f"function {head.function_id!r} is not declared at present, so its run cannot be run again")
    records = world.runs.read(run_id)
    state = fold(records)
    events, given = _edited(state, input)
    copied = _before(records, run_id, from_step) if from_step is not None else []
    if from_step is not None and input is None and state.validated is not None:
        copied.insert(0, state.validated)  # the copied steps have seen this data
    new_id = ids.derived(run_id, "rerun", id) if id else ids.ulid(world.clock.now(), world.entropy.bytes(10))
    start(
        world,
        NewRun(
            spec,
            events,
            run_id=new_id,
            input=given,
            user=head.user,
            copied=copied,
            since=world.clock.now(),
            rerun_of=run_id,
        ),
    )
    return new_id


def _edited(state: RunState, input: bytes | None) -> tuple[tuple[Event, ...], bytes | None]:
    """The new run's events, and what an invocation passed. An input of its own is its event's data, for the code as for
    the conditions of waits and of what cancels it."""
    if input is None:
        return state.events, state.birth.input
    return (msgspec.structs.replace(state.events[0], data=values.decode(input)),), None


def _before(records: Sequence[Record], run_id: str, step: str) -> list[Record]:
    """The records from before the run first reached `step`, in the order in which its code saw them."""
    keys = {key for record in records for key in _keys(record)}
    step = step if step in keys else escaped(step)  # as the code wrote it
    for number, record in enumerate(records):
        if step in _keys(record):
            state = fold(records[:number])
            maps = _maps(records)  # the parts of a map belong to the run that started them
            waited = {key: told for key, told in state.resolved.items() if key not in maps}
            told: dict[str, StepDone | Resolved] = {**waited, **state.done}
            steps = [told[key] for key in sorted(told, key=lambda key: state.completion_order.get(key, len(told)))]
            return [*state.patched.values(), *steps]
    raise LookupError(f"run {run_id} has no step {step!r}; it has: {', '.join(sorted(keys)) or 'none'}")


def _maps(records: Sequence[Record]) -> set[str]:
    blocked = {b.key for r in records if isinstance(r, Suspended | HandedOver) for b in r.blocked if b.kind == "map"}
    begun = {r.key for r in records if isinstance(r, Begun)}
    return blocked | begun | {r.key for r in records if isinstance(r, StepDone) and r.kind == "map"}


def _keys(record: Record) -> list[str]:
    """The steps that a record names."""
    if isinstance(record, Suspended):
        return [step_of(blocked.key) for blocked in record.blocked]
    return [step_of(record.key)] if isinstance(record, StepDone | StepTried | Resolved | Begun) else []
