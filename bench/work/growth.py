"""Measures what should not grow: costs of long runs, many waiting runs, and many ended runs. Tidemill only.

Steps in a long run, the wake-up of a run with a long journal, an event beside many waiting runs, memory after
many runs: each against a small one of the same. Where a rate is compared that takes seconds, two servers take turns.
"""

from __future__ import annotations

import time
from statistics import median

from peers.tidemill import Tidemill

from work.base import Reach, Rig, Row, Stage, ms

ROUNDS = 1
TURNS = 12
SAME = 1.25  # "the same", and the noise of a busy machine
ROWS = (
    Row("a step in a run of 10", "step in 10", "ms"),
    Row("a step in a run of 10,000 ÷ in a run of 10", "steps", "", (Reach(SAME),)),
    Row("wake-up of a run with 100 records", "wake 100", "ms"),
    Row("wake-up with 10,000 records ÷ with 100", "wakes", "", (Reach(3),)),
    Row("one event, p50, 10 runs waiting for others", "event beside 10", "ms"),
    Row("one event, p50, 100,000 runs waiting ÷ 10", "events", "", (Reach(SAME),)),
    Row("1,000 events in arrays, 100,000 runs waiting ÷ 10", "arrays", "", (Reach(SAME),)),
    Row("memory after 10,000 runs", "memory", "MB"),
    Row("memory after 100,000 runs ÷ after 10,000", "memories", "", (Reach(1.2),)),
)


def measure(rig: Rig) -> dict[str, float]:
    return {**steps(rig), **waits(rig), **memory(rig)}


def steps(rig: Rig) -> dict[str, float]:
    few, many = 10, rig.count(10_000, 1_000)
    with rig.open() as stage:
        small = median(a_step(stage, f"small{i}", few) for i in range(30))
        large = median(a_step(stage, f"large{i}", many) for i in range(3))
    with rig.open() as stage:
        quick = median(wake for i in range(3) for wake in wakes(stage, f"quick{i}", 100))
        slow = median(wakes(stage, "slow", many))
    return {"step in 10": small, "steps": large / small, "wake 100": quick, "wakes": slow / quick}


def a_step(stage: Stage, key: str, n: int) -> float:
    stage.one("bench/steps", key, n)
    return ms(stage.marks.first("e")[key] - stage.marks.first("b")[key]) / n


def wakes(stage: Stage, key: str, n: int) -> list[float]:
    """A run of n steps waits five times; from each event that wakes it to its next line of code (ms)."""
    stage.one("bench/long", key, n, kind="b")
    took: list[float] = []
    for wake in range(5):
        time.sleep(1)  # it has suspended by now
        sent, woke = stage.one("bench/wake", key, kind="w", mark=f"{key}.{wake}")
        took.append(ms(woke - sent))
    return took


def waits(rig: Rig) -> dict[str, float]:
    few, many = 10, rig.count(100_000, 5_000)
    with rig.open() as beside_few, rig.open() as beside_many:
        wait_for(beside_few, few)
        wait_for(beside_many, many)
        costs: dict[Stage, list[tuple[float, float]]] = {beside_few: [], beside_many: []}
        for i in range(TURNS):
            for stage in list(costs) if i % 2 else reversed(costs):
                costs[stage].append(cost_of_events(stage, f"e{i}."))
    (small, small_rate), (large, large_rate) = (
        [median(values) for values in zip(*turns, strict=True)] for turns in costs.values()
    )
    return {"event beside 10": small, "events": large / small, "arrays": large_rate / small_rate}


def wait_for(stage: Stage, count: int) -> None:
    """Runs that wait for an event that never comes; seen as `waiting` by the API."""
    stage.run("bench/wait", [f"w{i}" for i in range(count)], ends=count, end="b")
    peer = stage.peer
    assert isinstance(peer, Tidemill)
    while len(peer.runs("waiting")) < count:
        time.sleep(0.5)
    stage.marks.forget()


def cost_of_events(stage: Stage, prefix: str) -> tuple[float, float]:
    """Events of the very name that the runs wait for, none for them: the p50 of one, the time of 1,000 (ms)."""
    single: list[float] = []
    for i in range(40):
        sent, ended = stage.one("bench/go", f"{prefix}{i}")
        single.append(ms(ended - sent))
    stage.marks.forget()
    started = stage.run("bench/go", [f"{prefix}a{i}" for i in range(1_000)])
    arrays = ms(max(stage.marks.first("e").values()) - started)
    stage.marks.forget()
    return median(single), arrays


def memory(rig: Rig) -> dict[str, float]:
    few, many = rig.count(10_000, 1_000), rig.count(100_000, 5_000)
    with rig.open() as stage:
        after_few = memory_after(stage, 0, few)
        return {"memory": after_few, "memories": memory_after(stage, few, many) / after_few}


def memory_after(stage: Stage, first: int, last: int) -> float:
    stage.marks.forget()
    stage.run("bench/one", [f"m{i}" for i in range(first, last)], ends=last - first)
    time.sleep(3)
    return stage.peer.pss_mb()
