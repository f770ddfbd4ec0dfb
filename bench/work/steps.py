"""A run of 100 steps that do nothing: what one durable step costs."""

from __future__ import annotations

from statistics import median

from work.base import Reach, Rig, Row, ms

STEPS = 100
ROUNDS = 3
ROWS = (Row("a durable step, in a run of 100", "step", "ms", (Reach(0.08, "restate"), Reach(0.2))),)


def measure(rig: Rig) -> dict[str, float]:
    with rig.open() as stage:
        for i in range(rig.count(20, 5)):
            stage.one("bench/steps", f"k{i}", STEPS)
        began, ended = stage.marks.first("b"), stage.marks.first("e")
        return {"step": median(ms(ended[key] - began[key]) / STEPS for key in ended)}
