"""400 events, five functions each: 2,000 one-step runs."""

from __future__ import annotations

from work.base import Reach, Rig, Row, settled

ROUNDS = 3
WARM = 200
ROWS = (Row("400 events x 5 functions", "rate", "runs/s", (Reach(4, "restate", True),)),)


def measure(rig: Rig) -> dict[str, float]:
    events = rig.count(400, 100)
    with rig.open(WARM) as stage:
        started = stage.run("bench/fan", [f"k{i}" for i in range(events)], ends=events * 5)
        last = max(stage.marks.first("e").values())
        settled("fan", events * 5 + WARM + 1, stage.peer)
        return {"rate": events * 5 / (last - started) * 1e9}
