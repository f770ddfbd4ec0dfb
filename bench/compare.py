"""Two checkouts of Tidemill side by side: what each costs in CPU and time, as ratios to the first.

    .venv/bin/python bench/compare.py ../old . --rounds 20

Both servers are alive at once and take turns, a burst each, in random order, so that a slow minute of a shared machine
hits both. CPU is the kernel's account of the server and of its worker. Figures are lower quartiles of the bursts.
Each checkout needs its own `.venv`; the functions are those of this checkout's `bench_app.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from marks import Marks
from peers import tidemill
from work.base import Stage, quantile

Burst = tuple[float, float, float]  # wall, and CPU of server and worker: microseconds for each step or run
WORK = ("steps", "throughput", "latency")


class Side:
    def __init__(self, checkout: Path, room: Path) -> None:
        self.name = str(checkout)
        self._peer = tidemill.Tidemill()
        tidemill.COMMAND = checkout.resolve() / ".venv" / "bin" / "tidemill"
        self._stage = Stage(self._peer, Marks(room / "marks"))
        self._bursts = 0
        self._peer.start(room, self._stage.marks.path)
        self._peer.ready("first")
        self._stage.marks.wait("e", 1)
        self._stage.run("bench/one", [f"warm{i}" for i in range(500)], ends=501)
        server = self._peer.processes["server"].pid
        self._pids = (server, max(self._peer.family() - {server}))  # the zygote is older than the worker

    def burst(self, work: str) -> Burst:
        self._stage.marks.forget()
        before = [_cpu(pid) for pid in self._pids]
        count, wall = getattr(self, f"_{work}")()
        time.sleep(0.05)  # the server has yet to tell of the last
        server, worker = (1e6 * (_cpu(pid) - was) / count for pid, was in zip(self._pids, before, strict=True))
        return wall, server, worker

    def _keys(self, count: int) -> list[str]:
        self._bursts += 1
        return [f"b{self._bursts}.{i}" for i in range(count)]

    def _steps(self) -> tuple[int, float]:
        for key in self._keys(5):
            self._stage.one("bench/steps", key, 100)
        began, ended = self._stage.marks.first("b"), self._stage.marks.first("e")
        return 500, quantile([(ended[key] - began[key]) / 1e5 for key in ended], 0.5)

    def _throughput(self) -> tuple[int, float]:
        started = self._stage.run("bench/one", self._keys(1_000))
        return 1_000, (max(self._stage.marks.first("e").values()) - started) / 1e6

    def _latency(self) -> tuple[int, float]:
        took = [ended - sent for sent, ended in (self._stage.one("bench/one", key) for key in self._keys(50))]
        return 50, quantile(took, 0.5) / 1e3

    def stop(self) -> None:
        self._peer.stop()


def _cpu(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) names the clock of a process


@contextlib.contextmanager
def sides(checkouts: list[Path]) -> Generator[list[Side], None, None]:
    with contextlib.ExitStack() as stack:
        opened: list[Side] = []
        for checkout in checkouts:
            room = Path(tempfile.mkdtemp(prefix="compare-"))
            stack.callback(shutil.rmtree, room, ignore_errors=True)
            opened.append(Side(checkout, room))
            stack.callback(opened[-1].stop)
        yield opened


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/compare.py", description=__doc__)
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    options = parser.parse_args()
    with sides(options.checkouts) as opened:
        for work in options.work:
            found: dict[str, list[Burst]] = {side.name: [] for side in opened}
            for _ in range(options.rounds):
                for side in random.sample(opened, len(opened)):
                    found[side.name].append(side.burst(work))
            show(work, found)


def show(work: str, found: dict[str, list[Burst]]) -> None:
    first: list[float] = []
    for name, bursts in found.items():
        wall, server, worker = (quantile(each, 0.25) for each in zip(*bursts, strict=True))
        values = [wall, server, worker, server + worker]
        first = first or values
        parts = zip(("wall", "server", "worker", "CPU"), values, first, strict=True)
        shown = "  ".join(f"{what} {value:,.1f} us ({value / base:.2f}x)" for what, value, base in parts)
        sys.stdout.write(f"{work:11}{name:20} {shown}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
