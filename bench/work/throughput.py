"""2,000 one-step runs as fast as they go: arrays of 100 over 8 connections, to the last run's end."""

from __future__ import annotations

from work.base import Reach, Rig, Row, settled

ROUNDS = 3
WARM = 200
ROWS = (
    Row(
        "one-step runs, 2,000 as fast as they go",
        "rate",
        "runs/s",
        (Reach(3.5, "restate", True), Reach(1, "huey", True), Reach(1600, "", True)),
    ),
)


def measure(rig: Rig) -> dict[str, float]:
    count = rig.count(2000, 500)
    with rig.open(WARM) as stage:
        started = stage.run("bench/one", [f"k{i}" for i in range(count)])
        last = max(stage.marks.first("e").values())
        settled("throughput", count + WARM + 1, stage.peer)
        return {"rate": count / (last - started) * 1e9}
