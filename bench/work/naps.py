"""Measures the lateness of wakes: 1,000 runs that sleep for 2 s at once.

Due is 2 s after the body reached the sleep; a peer that holds a thread for each sleeper queues before it, unseen.
"""

from __future__ import annotations

from work.base import Reach, Rig, Row, ms, quantile

SECONDS = 2
ROUNDS = 2
ROWS = (
    Row("1,000 runs asleep for 2 s: lateness, p50", "p50", "ms", (Reach(1, "restate"),)),
    Row("the same, p99", "p99", "ms", (Reach(1, "restate"),)),
)


def measure(rig: Rig) -> dict[str, float]:
    with rig.open() as stage:
        stage.run("bench/nap", [f"k{i}" for i in range(rig.count(1000, 200))], SECONDS)
        slept, woke = stage.marks.first("b"), stage.marks.first("e")
        late = [ms(woke[key] - slept[key]) - SECONDS * 1000 for key in woke]
        return {"p50": quantile(late, 0.5), "p99": quantile(late, 0.99)}
