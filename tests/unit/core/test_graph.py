"""Graphs of steps: random ones against a simple reference, and the function that runs them on virtual time."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import App
from tidemill.core.definition import Definition, Docker, StepSpec
from tidemill.core.graph import TRIGGER, Awaited, Edge, EdgeId, Graph, Node
from tidemill.engine.drive.graph import graph_function
from tidemill.errors import TaskFailed
from tidemill.model import EventTrigger, Failure, FunctionSpec
from tidemill.task import Task
from tidemill.testing import Mill

HOUR = 3_600_000


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    """Every step hangs on earlier ones; then they are shuffled, since a file may name them in any order."""
    made: list[Node] = []
    for number in range(draw(st.integers(1, 7))):
        sources = st.sampled_from([TRIGGER, *(node.id for node in made)])
        after = draw(st.lists(sources, min_size=1, max_size=3, unique=True))
        kinds = draw(st.lists(st.sampled_from(["plain", "if", "wait"]), min_size=len(after), max_size=len(after)))
        edges = tuple(_edge(source, kind) for source, kind in zip(after, kinds, strict=True))
        made.append(Node(f"s{number}", edges, draw(st.sampled_from(["all", "any"]))))
    return draw(st.permutations(made))


def _edge(source: str, kind: str) -> Edge:
    return {"plain": Edge(source), "if": Edge(source, condition="x"), "wait": Edge(source, wait=5)}[kind]


def reference(graph: list[Node], outcome: dict[EdgeId, bool]) -> dict[str, bool]:
    """Which steps run."""
    by_id = {node.id: node for node in graph}

    def runs(id: str) -> bool:
        if id == TRIGGER:
            return True
        taken = [runs(e.source) and (e.plain or outcome[EdgeId(id, n)]) for n, e in enumerate(by_id[id].after)]
        return all(taken) if by_id[id].join == "all" else any(taken)

    return {id: runs(id) for id in by_id}


@settings(max_examples=200)
@given(nodes(), st.randoms(use_true_random=False))
def test_what_runs_does_not_depend_on_the_order_of_ends(graph: list[Node], rng: random.Random) -> None:
    outcome = {EdgeId(node.id, n): rng.random() < 0.7 for node in graph for n in range(len(node.after))}
    machine = Graph(graph)
    ended: dict[str, bool] = {}
    taken: dict[EdgeId, bool] = {}
    begun: set[str] = set()
    while True:
        ready = machine.ready(ended, taken, begun)
        assert not begun & set(ready.start), "a step is begun once"
        ended.update(dict.fromkeys(ready.skip, False))
        begun.update(ready.start)
        under_way: list[str | EdgeId] = [*sorted(begun - ended.keys()), *ready.edges]
        if not under_way:
            break
        one = rng.choice(under_way)
        if isinstance(one, EdgeId):
            taken[one] = outcome[one]
        else:
            ended[one] = True
    assert ended == reference(graph, outcome)
    assert set(machine.order) == ended.keys()


@settings(max_examples=40)
@given(nodes(), st.randoms(use_true_random=False))
def test_the_function_runs_what_the_reference_runs(graph: list[Node], rng: random.Random) -> None:
    """Conditions read the event, or outputs of steps before them; waits have lengths of their own."""
    outcome: dict[EdgeId, bool] = {}
    edged: list[Node] = []
    for node in graph:
        edges: list[Edge] = []
        for number, edge in enumerate(node.after):
            holds = rng.random() < 0.7
            outcome[EdgeId(node.id, number)] = holds or edge.wait is not None
            told = "event.data.yes" if edge.source == TRIGGER else f"steps['{edge.source}'].yes"
            condition = None if edge.condition is None else f"{told} == {'true' if holds else 'false'}"
            edges.append(Edge(edge.source, condition, None if edge.wait is None else rng.randint(0, 5) * 60_000))
        edged.append(Node(node.id, tuple(edges), node.join))
    seen: list[Task] = []

    def runtime(task: Task) -> dict[str, Any]:
        seen.append(task)
        return {"id": task.step.id, "yes": True}

    with Mill(app_of(edged, runtime)) as mill:
        run = mill.send("go", {"yes": True}).run("graph")
        mill.advance(hours=2)
        assert run.status == "completed", run.error
        expected = reference(edged, outcome)
        assert {step.id: step.status for step in run.steps if step.kind == "run"} == {
            id: "completed" if ran else "skipped" for id, ran in expected.items()
        }
        leaves = [id for id in Graph(edged).leaves if expected[id]]
        assert run.output == {id: {"id": id, "yes": True} for id in leaves}
        assert sorted(task.step.id for task in seen) == sorted(id for id, ran in expected.items() if ran)
        for task in seen:
            assert task.input["steps"].keys() <= Graph(edged).before[task.step.id]


def app_of(graph: list[Node], runtime: Any, attempts: int = 5) -> App:
    spec = FunctionSpec("graph", "definitions", "Graph", triggers=(EventTrigger("go"),), retries=0)
    steps = tuple(StepSpec(node, Docker(), attempts=attempts) for node in graph)
    app = App("definitions")
    app.functions["graph"] = graph_function(Definition(spec, steps, "."), {"docker": runtime})
    return app


def echo(task: Task) -> Any:
    return {"id": task.step.id}


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match=r"a -> b -> a|b -> a -> b"):
        Graph([Node("a", (Edge("b"),)), Node("b", (Edge("a"),)), Node("c")])


def test_branches_really_run_side_by_side() -> None:
    """Each of twelve waits for all others: one after the other none would ever end."""
    meeting = threading.Barrier(12)

    def meet(task: Task) -> int:
        return meeting.wait(120)

    graph = [Node(f"s{n}") for n in range(12)]
    with Mill(app_of(graph, meet)) as mill:
        run = mill.send("go").run("graph")
        assert run.status == "completed"
        assert sorted(run.output.values()) == list(range(12))


def test_an_edge_waits_for_its_event() -> None:
    awaited = Awaited("opened", HOUR, "async.data.user == event.data.user")
    nudge = Awaited("opened", HOUR, "async.data.user == event.data.user", on_timeout=True)
    graph = [Node("a"), Node("thanks", (Edge("a", awaits=awaited),)), Node("nudge", (Edge("a", awaits=nudge),))]
    with Mill(app_of(graph, echo)) as mill:
        opened = mill.send("go", {"user": "ann"}).run("graph")
        silent = mill.send("go", {"user": "bob"}).run("graph")
        assert opened.status == "waiting"
        mill.send("opened", {"user": "ann"})
        assert opened.output == {"thanks": {"id": "thanks"}}
        mill.advance(hours=1)
        assert silent.output == {"nudge": {"id": "nudge"}}


def test_a_step_that_fails_for_good_lets_what_runs_end_and_starts_nothing_more() -> None:
    def runtime(task: Task) -> Any:
        if task.step.id == "bad":
            raise TaskFailed(Failure("ExitError", "exit code 3", retriable=task.attempt < 2))
        if task.step.id == "slow" and task.attempt == 1:
            raise TaskFailed(Failure("ExitError", "exit code 1", retry_after=task.input["event"]["ts"] + HOUR))
        return task.attempt

    graph = [
        Node("bad"), Node("slow"), Node("after-slow", (Edge("slow"),)), Node("later", (Edge(wait=48 * HOUR),)),
        Node("waits", (Edge(awaits=Awaited("never", None)),)),
    ]  # fmt: skip
    with Mill(app_of(graph, runtime)) as mill:
        run = mill.send("go").run("graph")
        mill.advance(hours=2)
        assert run.status == "failed"
        assert (run.error.type, run.error.message, run.error.step_id) == ("ExitError", "exit code 3", "bad")
        steps = {step.id: (step.status, step.attempts) for step in run.steps if step.kind == "run"}
        assert steps == {"bad": ("failed", 2), "slow": ("completed", 2)}


def test_a_wait_that_gives_no_duration_fails_the_run_with_the_reason() -> None:
    with Mill(app_of([Node("a", (Edge(wait="event.data.delay"),))], echo)) as mill:
        late = mill.send("go", {"delay": "90s"}).run("graph")
        wrong = mill.send("go", {"delay": "soon"}).run("graph")
        assert wrong.status == "failed"
        assert "'event.data.delay', gives no duration" in wrong.error.message
        mill.advance(seconds=89)
        assert late.status == "sleeping"
        mill.advance(seconds=1)
        assert late.status == "completed"


def test_a_stub_takes_the_place_of_a_program() -> None:
    with Mill(app_of([Node("a"), Node("b", (Edge("a", "steps.a.ok"),))], echo)) as mill:
        mill.stub("a", returns={"ok": True})
        assert mill.send("go").run("graph").output == {"b": {"id": "b"}}


def test_what_an_edge_waits_for_is_named_by_the_edge_and_by_its_number() -> None:
    """The journal remembers it by this name: it stays as it is."""
    edges = (Edge("a", wait=60_000), Edge("a", awaits=Awaited("opened", HOUR, None)), Edge("c", wait=60_000))
    with Mill(app_of([Node("a"), Node("c"), Node("b", edges)], echo)) as mill:
        run = mill.send("go").run("graph")
        assert [step.id for step in run.steps if step.kind != "run"] == [
            "a -> b (wait)",
            "a -> b (async 2)",
            "c -> b (wait 3)",
        ]
