"""What people do to a running system, at a time: cancel, run again, deploy, set a clock, close the lid.

Each is a message of its own that may fail and comes again, as a request that somebody repeats. Which run it is about is
drawn when it happens, from those that there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation import states

from tidemill import values
from tidemill.core.journal import StepDone
from tidemill.engine.intake.rerun import rerun
from tidemill.engine.runs import end as finish
from tidemill.model import Head

if TYPE_CHECKING:
    from simulation.scenario import Act
    from simulation.system import System

API = "cancelled by API"


def perform(system: System, act: Act) -> None:
    ACTS[act.do](system, act)
    system.unsent -= 1


def _cancel(system: System, act: Act) -> None:
    """Cancel one open run, as `DELETE /v1/runs/{id}` does."""
    head = _chosen(system, act, _runs(system, lambda head: head.due is not None))
    if head is not None:
        _cancel_one(system, head)


def _cancel_all(system: System, _: Act) -> None:
    """Cancel whatever is open: some waits have no end of their own, some functions have gone for good."""
    for head in _runs(system, lambda head: head.due is not None):
        _cancel_one(system, head)


def _cancel_one(system: System, head: Head) -> None:
    run_id = head.run_id
    system.api_cancelled.add(run_id)

    def work() -> None:
        states.note(system, run_id, "cancelled by API")
        system.note(finish.cancel(system.world, run_id, API))

    system.deliver(f"cancel {run_id}", work, durable=True)


def _rerun(system: System, act: Act) -> None:
    """Run one again: from the start or from one of its steps, with the old input or another."""
    head = _chosen(system, act, _runs(system, lambda head: True))
    if head is None:
        return
    from_step, edited = act.arg

    def work() -> None:
        if system.registry.function(head.function_id) is None:
            return
        records = system.world.runs.read(head.run_id)
        steps = [r.key for r in records if isinstance(r, StepDone) and "/" not in r.key]
        step = steps[from_step % len(steps)] if from_step is not None and steps else None
        states.note(system, head.run_id, "run again" if step is None else "run again from a step")
        given = values.encode({"n": edited}, "input") if edited is not None else None
        new_id = rerun(system.world, head.run_id, step, given)
        if given is None:
            system.reruns[new_id] = head.run_id
        else:
            system.edited[new_id] = edited

    system.deliver(f"rerun {head.run_id}", work, durable=True)


def _deploy(system: System, act: Act) -> None:
    """Other code, or other options: `scenario.deploys[arg]`."""
    for head in _runs(system, lambda head: head.due is not None):
        states.note(system, head.run_id, "deploy")
    system.serve(system.scenario.deploys[act.arg])


def _clock(system: System, act: Act) -> None:
    """Somebody sets the machine's clock: by so much."""
    system.clock.offset += act.arg
    system.clock_set()


def _lid(system: System, act: Act) -> None:
    """The machine sleeps for so long."""
    for head in _runs(system, lambda head: head.due is not None):
        states.note(system, head.run_id, "machine sleeps")
    system.loop.freeze(act.arg)
    system.clock_set()


def _chosen(system: System, act: Act, runs: list[Head]) -> Head | None:
    """One of these: any, or, where `pick` is odd, one in a state in which few runs are."""
    if not runs:
        return None
    if act.pick % 2 == 0:
        return runs[act.pick % len(runs)]
    return min(runs, key=lambda head: min(map(states.RARE.index, states.now(system, head))))


def _runs(system: System, wanted: Callable[[Head], bool]) -> list[Head]:
    """Runs, parts of maps left out, in the order of their creation."""
    found = [system.stores.runs.head(run_id) for run_id in system.stores.all_runs()]
    return [h for h in found if h is not None and (h.parent is None or h.parent.chunk is None) and wanted(h)]


ACTS: dict[str, Callable[[System, Act], None]] = {
    "cancel": _cancel,
    "cancel all": _cancel_all,
    "rerun": _rerun,
    "deploy": _deploy,
    "clock": _clock,
    "lid": _lid,
    "no more ticks": lambda system, act: system.stop_cron(),
}
