"""Functions that are graphs, in the simulation: programs that fail and programs that end elsewhere, and what must be
true of a graph's run at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill import App, values
from tidemill.core.definition import Definition, Docker, StepSpec
from tidemill.core.graph import TRIGGER, Edge, Graph
from tidemill.core.journal import Ended, Record
from tidemill.core.state import RunState, fold
from tidemill.engine.drive import remote_attempt
from tidemill.engine.drive.graph import graph_function
from tidemill.errors import TaskFailed
from tidemill.model import EventTrigger, Failure, FunctionSpec, Head
from tidemill.task import Handed, Runtime, Task

if TYPE_CHECKING:
    from simulation.scenario import GraphProgram
    from simulation.system import System

Ends = dict[tuple[str, str, int], set[int]]  # by run, step and attempt: what a program elsewhere gave

_PATIENCE = 3_000_000  # until nothing more is expected of work that was handed over


async def inline(runtime: Runtime, task: Task) -> Any:
    """One actor is at work at a time."""
    return runtime(task)


def declare(app: App, programs: list[GraphProgram], system: System) -> None:
    for program in programs:
        spec = FunctionSpec(program.id, "definitions", program.id, triggers=(EventTrigger(program.on),), retries=2)
        steps = tuple(StepSpec(node, Docker(), attempts=program.attempts) for node in program.nodes)
        runtime = _runtime(program, system, system.ends)
        app.functions[program.id] = graph_function(Definition(spec, steps), {"docker": runtime}, inline)


def _runtime(program: GraphProgram, system: System, ends: Ends) -> Runtime:
    def run(task: Task) -> Any:
        system.body(task.run_id, task.step.id, task.attempt)
        fails = task.attempt <= program.fails[task.step.id]
        number = system.loop.random.randint(0, 9)
        if task.step.id in program.handed:
            _hand_over(task, fails, number, program.handed[task.step.id])
            return Handed(system.clock.now() + _PATIENCE)
        if fails:
            raise TaskFailed(_failure(task.attempt))
        return {"n": number}

    def _hand_over(task: Task, fails: bool, number: int, after: int) -> None:
        """A program of its own: it ends whatever becomes of who began it, and its end is told at least once."""
        end = _failure(task.attempt) if fails else values.encode({"n": number}, "output")
        if not fails:
            ends.setdefault((task.run_id, task.step.id, task.attempt), set()).add(number)

        def tell() -> None:
            remote_attempt.ended(system.world, task.run_id, task.step.id, task.attempt, end)
            system.world.queue.wake(task.run_id, task.function_id)

        system.deliver(f"end {task.step.id} of {task.run_id}", tell, durable=True, after=after)

    return run


def _failure(attempt: int) -> Failure:
    return Failure("ExitError", f"exit code 1 at attempt {attempt}")


def broken(system: System, head: Head, records: list[Record]) -> list[str]:
    """What ran is what the graph says, and the output is what the leaves gave."""
    program = next((each for each in system.scenario.graphs if each.id == head.function_id), None)
    state = fold(records)
    if program is None or not isinstance(state.terminal, Ended):
        return []
    where = f"{head.function_id} {head.run_id}"
    outputs = {key: values.decode(done.value) for key, done in state.done.items() if done.kind == "run" and done.value}
    problems = [
        f"{where}: step {key} gave {outputs[key]}, but its program {system.ends[end]}"
        for key, done in state.done.items()
        if (end := (head.run_id, key, done.attempts)) in system.ends
        and key in program.handed
        and key in outputs
        and outputs[key]["n"] not in system.ends[end]
    ]
    if state.terminal.status == "failed":
        failed = [key for key, done in state.done.items() if done.failure is not None]
        return problems if failed or state.crashes else [*problems, f"{where} failed, but none of its steps"]
    if state.birth.again and head.run_id in system.edited:
        return problems  # what a rerun keeps was decided by the input that its first run had
    expected = _runs(program, state, outputs)
    found = {node.id: state.done[node.id].attempts > 0 for node in program.nodes if node.id in state.done}
    if found != expected:
        problems.append(f"{where}: ran {found}, the graph says {expected}")
    leaves = {id: outputs.get(id) for id in Graph(program.nodes).leaves if expected[id]}
    if values.decode(state.terminal.value or b"") != leaves:
        problems.append(f"{where}: its output is not {leaves}")
    return problems


def _runs(program: GraphProgram, state: RunState, outputs: dict[str, Any]) -> dict[str, bool]:
    """Which steps run, by the outputs and the events that the journal remembers."""
    given = values.decode(state.birth.input) if state.birth.input is not None else state.events[0].data

    def taken(step: str, number: int, edge: Edge) -> bool:
        if edge.source != TRIGGER and not runs(edge.source):
            return False
        if edge.condition is not None:
            n = given["n"] if edge.source == TRIGGER else outputs[edge.source]["n"]
            return n % 2 == int(edge.condition[-1])
        if edge.awaits is None:
            return True
        name = f"{edge.source} -> {step} (async{f' {number + 1}' if number else ''})"
        resolved = state.resolved.get(name)
        if resolved is None:  # nobody waited for it to the end: a join had what it needed
            return False
        return (resolved.event is None) == edge.awaits.on_timeout

    def runs(id: str) -> bool:
        node = next(node for node in program.nodes if node.id == id)
        edges = [taken(id, number, edge) for number, edge in enumerate(node.after)]
        return all(edges) if node.join == "all" else any(edges)

    return {node.id: runs(node.id) for node in program.nodes}
