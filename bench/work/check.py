"""`tidemill versions check` over runs of 20 steps: how many it replays in a second, twice each. Tidemill alone."""

from __future__ import annotations

import os
import subprocess
import time

from peers.tidemill import COMMAND
from proc import APPS

from work.base import Reach, Rig, Row

STEPS = 20
ROUNDS = 1
ROWS = (
    Row("`tidemill versions check`, runs of 20 steps", "runs", "runs/s", (Reach(10_000 / 60, more_is_better=True),)),
)


def measure(rig: Rig) -> dict[str, float]:
    count = rig.count(2_000, 200)
    with rig.open() as stage:
        stage.run("bench/steps", [f"k{i}" for i in range(count)], STEPS)
        url = f"http://127.0.0.1:{stage.peer.port}"
        began = time.monotonic()
        command = [COMMAND, "versions", "check", APPS / "bench_app.py", "--url", url, "--last", str(count)]
        unmarked = {**os.environ, "BENCH_MARKS": os.devnull}
        subprocess.run(command, env=unmarked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return {"runs": count / (time.monotonic() - began)}
