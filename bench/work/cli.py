"""CPU time that a command takes, the start of its interpreter included. Tidemill alone."""

from __future__ import annotations

import os
import subprocess
from statistics import median

from peers.tidemill import COMMAND

from work.base import Reach, Rig, Row

ROUNDS = 1
ROWS = (
    Row("`tidemill --help`, CPU, p50", "help", "ms", (Reach(100),)),
    Row("`tidemill send`, CPU, p50", "send", "ms", (Reach(150),)),
    Row("`tidemill runs list` of 50 runs, CPU, p50", "runs list", "ms"),
)


def measure(rig: Rig) -> dict[str, float]:
    count = rig.count(20, 5)
    with rig.open() as stage:
        there = ["--url", f"http://127.0.0.1:{stage.peer.port}"]
        return {
            "help": median(cpu_ms("--help") for _ in range(count)),
            "send": median(cpu_ms("send", "bench/nobody", "{}", *there) for _ in range(count)),
            "runs list": median(cpu_ms("runs", "list", *there) for _ in range(count)),
        }


def cpu_ms(*words: str) -> float:
    process = subprocess.Popen([COMMAND, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise OSError(f"tidemill {' '.join(words)} ended with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1_000
