"""From the start of the first process to the end of the first run, on an empty folder; then memory, idle."""

from __future__ import annotations

import time

from work.base import Reach, Rig, Row

ROUNDS = 5
ROWS = (
    Row("start of the first process → first run completed", "start", "s", (Reach(1, "restate"), Reach(1, "huey"))),
    Row("idle memory of all its processes (PSS)", "memory", "MB", (Reach(90),)),
)


def measure(rig: Rig) -> dict[str, float]:
    with rig.closed() as stage:
        started = time.monotonic_ns()
        stage.peer.start(stage.peer.room, stage.marks.path)
        stage.peer.ready("first")
        stage.marks.wait("e", 1, every=0.001)
        first = stage.marks.first("e")["first"]
        time.sleep(rig.count(3, 1))
        return {"start": (first - started) / 1e9, "memory": stage.peer.pss_mb()}
