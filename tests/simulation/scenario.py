"""What a simulated team has built and what happens to it: random functions, random events, made from one seed as data.

A program is a list of operations, each a list that begins with its kind. As data, a scenario can be printed, replayed
and cut down to what still fails.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tidemill.core.graph import TRIGGER, Awaited, Edge, Node

Op = list[Any]
EVENTS = ("e/start", "e/other", "e/news", "e/stop")
USERS = ("ann", "bob")


@dataclass
class Program:
    id: str
    ops: list[Op]
    is_async: bool = False
    on: str | None = None
    when: str | None = None
    cancel_on: str | None = None
    finish: int | None = None
    start: int | None = None
    cron: str | None = None
    backoff: str = "1s"
    threads: bool = False  # the branches of a plain function run at the same time
    on_failure: bool = False
    retries: int = 2
    flow: dict[str, Any] = field(default_factory=dict)  # options of flow control, as the arguments of their classes


@dataclass
class GraphProgram:
    """A function that is a graph. `fails`: how often each step does; `handed`: steps that end elsewhere, and when."""

    id: str
    nodes: list[Node]
    on: str
    fails: dict[str, int] = field(default_factory=dict)
    handed: dict[str, int] = field(default_factory=dict)
    attempts: int = 3


@dataclass
class Sent:
    at: int
    name: str
    user: str
    n: int
    signal: str | None = None
    ahead: int = 0
    burst: int = 1  # events in one request


@dataclass
class Act:
    """What somebody does at a time: `pick` says to which run, `arg` how; see `acts`."""

    at: int
    do: str
    pick: int = 0
    arg: Any = None


@dataclass
class Scenario:
    seed: int
    programs: list[Program]
    sent: list[Sent]
    faults: float = 1.0  # how often calls fail, processes die, messages double and get lost
    stalls: float = 1.0  # how often a process stands still for long
    fault_seed: int = 0
    snapshot_every: int = 100
    graphs: list[GraphProgram] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    deploys: list[list[Program]] = field(default_factory=list)  # what the acts "deploy" bring
    everything: bool = False  # also hold it to what the engine is known not to hold yet


def make(seed: int) -> Scenario:
    """The scenario without what `layers` add."""
    rng = random.Random(seed)
    programs = [
        Program("child", ops(rng, 2, "c", depth=1, leaf=True), is_async=rng.random() < 0.5, retries=1),
        Program("listener", [["run", "l", 0]], on="tidemill/function.finished"),
    ]
    programs += [_program(rng, number) for number in range(rng.randint(1, 3))]
    faults = rng.choice([0, 0, 0.3, 1, 1, 2])
    stalls = rng.choice([0, 1, 1, 1, 100]) if faults else rng.choice([0, 0, 1])
    sent = [_sent(rng, n) for n in range(rng.randint(1, 10))]
    if rng.random() < 0.3:
        _meet(rng, programs, sent)
        faults = rng.choice([0, 0, faults])
        stalls = stalls if faults else 0
    if seed % 2:
        control(random.Random(-seed), programs, sent)
    snapshot_every = rng.choice([2, 5, 100])
    graphs = _graphs(random.Random(~seed), sent) if seed % 3 == 0 else []
    sent.sort(key=lambda s: s.at)
    return Scenario(seed, programs, sent, faults, stalls, seed, snapshot_every, graphs)


def _program(rng: random.Random, number: int) -> Program:
    return Program(
        f"f{number}",
        ops(rng, rng.randint(1, 6), "s", depth=2),
        is_async=rng.random() < 0.5,
        on=rng.choice(EVENTS[:2]) if rng.random() < 0.85 else "e/o*",
        when=rng.choice([None, None, "event.data.n > 2", "event.user.id == 'ann'"]),
        cancel_on=rng.choice([None, None, None, "e/stop"]),
        finish=rng.choice([None, None, None, rng.randint(1_000, 600_000)]),
        on_failure=rng.random() < 0.3,
        retries=rng.randint(0, 3),
    )


def _meet(rng: random.Random, programs: list[Program], sent: list[Sent]) -> None:
    """Functions that begin by waiting, and the events that they wait for, at nearly the same time."""
    for program in programs[2:]:
        program.ops.insert(0, ["wait", "meet", "e/news", rng.choice(["match", "when", "all"]), 400_000, True])
        program.when = None
        sent.append(Sent(0, EVENTS[0] if program.on == EVENTS[0] else EVENTS[1], rng.choice(USERS), len(sent) + 40))
    sent.extend(Sent(rng.randint(0, 400), "e/news", rng.choice(USERS), n) for n in range(20, 20 + rng.randint(1, 8)))


def _graphs(rng: random.Random, sent: list[Sent]) -> list[GraphProgram]:
    """One graph or two, and events that start them and that their edges wait for."""
    found: list[GraphProgram] = []
    for number in range(rng.randint(1, 2)):
        nodes: list[Node] = []
        for n in range(rng.randint(1, 6)):
            sources = rng.sample([TRIGGER, *(node.id for node in nodes)], rng.randint(1, min(3, n + 1)))
            nodes.append(Node(f"g{n}", tuple(_edge(rng, source) for source in sources), rng.choice(["all", "any"])))
        ids = [node.id for node in nodes]
        fails = {id: rng.choice([0, 0, 0, 0, 1, 2, 3]) for id in ids}
        handed = {id: rng.choice([10, 5_000, 200_000, 2_000_000]) for id in ids if rng.random() < 0.3}
        rng.shuffle(nodes)
        found.append(GraphProgram(f"graph{number}", nodes, "e/graph", fails, handed))
    sent.extend(
        Sent(rng.randint(0, 60_000), "e/graph", rng.choice(USERS), n) for n in range(70, 70 + rng.randint(1, 3))
    )
    sent.extend(
        Sent(rng.randint(0, 300_000), "e/news", rng.choice(USERS), n) for n in range(80, 80 + rng.randint(0, 3))
    )
    return found


def _edge(rng: random.Random, source: str) -> Edge:
    kind = rng.choice(["plain", "plain", "if", "wait", "async"])
    if kind == "if":
        told = "event.data.n" if source == TRIGGER else f"steps.{source}.n"
        return Edge(source, condition=f"{told} % 2 == {rng.randint(0, 1)}")
    if kind == "wait":
        return Edge(source, wait=rng.choice([0, 1_500, 70_000, 1_000_000]))
    if kind == "async":
        when = rng.choice([None, "async.user.id == event.user.id"])
        return Edge(source, awaits=Awaited("e/news", rng.choice([5_000, 400_000]), when, rng.random() < 0.5))
    return Edge(source)


KEYS = (None, None, "event.user.id", "event.data.n % 2", "event.data.nothing")


def control(rng: random.Random, programs: list[Program], sent: list[Sent]) -> None:
    """Flow control for some functions, and events that come close together."""
    for program in programs:
        if program.id == "listener" or rng.random() < 0.2:
            continue
        options = program.flow
        if rng.random() < 0.7:
            options["concurrency"] = [_places(rng) for _ in range(rng.choice([1, 1, 2]))]
            if program.id == "child":  # one that invokes it, and holds a place that it needs, waits for ever
                for limit in options["concurrency"]:
                    limit[2] = "function" if limit[3] == "runs" else limit[2]
            if len(options["concurrency"]) == 2 and options["concurrency"][0][1:] == options["concurrency"][1][1:]:
                options["concurrency"].pop()
        if rng.random() < 0.25:
            options["throttle"] = [rng.choice([1, 2, 10]), rng.choice([20, 60]), rng.choice([1, 3]), rng.choice(KEYS)]
        if program.on is not None and program.cancel_on is None and rng.random() < 0.2:
            options["batch"] = [rng.randint(1, 4), rng.choice([1, 30]), rng.choice(KEYS)]
            _agree(options)
            continue
        if program.on is not None and rng.random() < 0.25:
            options["debounce"] = [rng.choice([1, 10]), rng.choice(KEYS), rng.choice([None, 30])]
        if rng.random() < 0.2:
            options["rate_limit"] = [rng.randint(1, 3), rng.choice([20, 60]), rng.choice(KEYS)]
        if rng.random() < 0.3:
            options["singleton"] = [rng.choice(["skip", "cancel"]), rng.choice(KEYS)]
        if rng.random() < 0.2:
            options["idempotency"] = rng.choice(KEYS[2:])
        if rng.random() < 0.4:
            options["priority"] = rng.choice(["event.data.n * 10", "event.user.id == 'ann' ? 100 : -5"])
            if "throttle" in options and "concurrency" not in options:
                del options["priority"]  # is refused
    burst = rng.randint(0, 200_000)
    sent.extend(
        Sent(burst + rng.randint(0, 15_000), rng.choice(EVENTS[:2]), rng.choice(USERS), n)
        for n in range(50, 50 + rng.randint(0, 8))
    )


def _agree(options: dict[str, Any]) -> None:
    """The events of a batch agree on the keys of its limits: others are refused."""
    key = options["batch"][2]
    limits = options.get("concurrency", [])
    for each in [*limits, *([options["throttle"]] if "throttle" in options else [])]:
        at = 1 if each in limits else 3
        each[at] = key if each[at] is not None else None
    if len(limits) == 2 and limits[0][1:] == limits[1][1:]:
        limits.pop()


def _places(rng: random.Random) -> list[Any]:
    scope, counts = rng.choice(["function", "function", "app", "account"]), rng.choice(["steps", "steps", "runs"])
    return [rng.choice([1, 1, 2, 3]), rng.choice(KEYS), scope, counts]


def _sent(rng: random.Random, n: int) -> Sent:
    at = rng.choice([0, rng.randint(0, 2_000), rng.randint(0, 300_000)])
    if rng.random() < 0.15:
        return Sent(at, "", rng.choice(USERS), n, signal=rng.choice(["go", "stop"]))
    ahead = rng.randint(1_000, 400_000) if rng.random() < 0.1 else 0
    return Sent(at, rng.choice(EVENTS), rng.choice(USERS), n, ahead=ahead)


def ops(rng: random.Random, count: int, prefix: str, depth: int, leaf: bool = False) -> list[Op]:
    return [_op(rng, f"{prefix}{n}", depth, leaf) for n in range(count)]


def _op(rng: random.Random, id: str, depth: int, leaf: bool) -> Op:
    kinds = ["run"] * 6 + ["sleep", "sleep", "boom", "raise"]
    if not leaf:
        kinds += ["wait", "wait", "wait", "any", "signal", "invoke", "send", "map"]
        if depth > 0:
            kinds += ["parallel"] * 3
    kind = rng.choice(kinds)
    timeout = rng.choice([5_000, 60_000, 400_000])
    if kind == "run":
        return ["run", id, rng.choice([0, 0, 0, 1, 2])]
    if kind == "sleep":
        return ["sleep", id, rng.choice([0, 10, 1_500, 70_000, 1_000_000])]
    if kind == "wait":
        how = rng.choice(["match", "when", "all", "other"])
        return ["wait", id, rng.choice(EVENTS[1:3]), how, timeout, rng.random() < 0.85]
    if kind == "any":
        return ["any", id, timeout]
    if kind == "signal":
        return ["signal", id, rng.choice(["go", "stop"]), timeout]
    if kind == "invoke":
        return ["invoke", id, "child", rng.choice([None, None, timeout])]
    if kind == "send":
        return ["send", id, rng.randint(1, 2)]
    if kind == "map":
        return ["map", id, rng.randint(0, 5), rng.choice([None, 2])]
    if kind == "parallel":
        return ["parallel", [ops(rng, rng.randint(1, 3), f"{id}b{b}", depth - 1) for b in range(rng.randint(2, 3))]]
    if kind == "raise":
        return ["raise", rng.choice([1, 1, 2])]
    return ["boom", id]
