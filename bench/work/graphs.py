"""500 runs of a graph of three steps, one run at a time: of processes, and of Lambda folders; beside a bare loop that
spawns the same process, before and after.

A step's time is its share of the run: from the receipt of the event to the run's end, as the platform tells them
(`created_at`, `ended_at`), divided by three. So what starts and ends the run counts as overhead of its steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import proc
from peers.tidemill import Tidemill

from work.base import Reach, Rig, Row

ROUNDS = 3
STEPS = 3
GRAPHS = proc.APPS / "graphs"
ROWS = (
    Row("a bare loop that spawns a shell script", "bare", "ms"),
    Row("a step that is that script, in a run of three", "process", "ms"),
    Row("what the step costs over the loop", "process_over", "ms", (Reach(3),)),
    Row("a bare loop that spawns a Python with the handler", "bare_python", "ms"),
    Row("a step that is a Lambda's folder, in a run of three (its process stays warm)", "lambda", "ms", (Reach(3),)),
    Row("what the step costs over the loop", "lambda_over", "ms", (Reach(3),)),
)
_INPUT = json.dumps({"event": {"data": {"k": "k"}}, "steps": {}, "ctx": {"step_id": "a"}})
_CALL = f"import handler; print(handler.handler({json.loads(_INPUT)!r}, None))"


class Graphs(Tidemill):
    """Definitions alone; no Docker engine, for what is measured is processes."""

    targets = (proc.APPS / "bench_app.py", GRAPHS)

    def launch(self) -> None:
        self.env["DOCKER_HOST"] = f"unix://{self.room}/none"
        super().launch()


def measure(rig: Rig) -> dict[str, float]:
    runs = rig.count(500, 50)
    shell, python = ["sh", "./step.sh", _INPUT], [sys.executable, "-c", _CALL]
    values = {}
    with Rig(Graphs, rig.quick).open() as stage:
        for kind, metric, command, folder, loop in (
            ("process", "bare", shell, GRAPHS / "program", runs),
            ("lambda", "bare_python", python, GRAPHS / "function", runs // 10),
        ):
            for i in range(5):
                stage.one(f"bench/{kind}", f"warm-{kind}{i}")
            before = _bare(command, folder, loop)
            for i in range(runs):
                stage.one(f"bench/{kind}", f"{kind}{i}")
            values[metric] = (before + _bare(command, folder, loop)) / 2
            values[kind] = _share(stage.peer, kind, runs)
            values[f"{kind}_over"] = values[kind] - values[metric]
    return values


def _bare(command: Sequence[str], folder: Path, times: int) -> float:
    """Milliseconds for each of so many processes, one after the other."""
    began = time.perf_counter()
    for _ in range(times):
        subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    return (time.perf_counter() - began) / times * 1_000


def _share(peer: object, function: str, runs: int) -> float:
    """Milliseconds of a step in the last `runs` runs, once all have ended."""
    assert isinstance(peer, Tidemill)
    until = time.monotonic() + 10
    while len(found := peer.runs("completed", function)) < runs + 5 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(found) == runs + 5, f"{len(found)} of {runs + 5} runs have completed"
    newest = sorted(found, key=lambda run: str(run["created_at"]))[-runs:]
    return mean(_milliseconds(run["ended_at"]) - _milliseconds(run["created_at"]) for run in newest) / STEPS


def _milliseconds(value: str | int) -> float:
    if isinstance(value, int):
        return value
    from datetime import datetime

    return datetime.fromisoformat(value).timestamp() * 1_000
