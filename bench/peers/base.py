"""The interface of every peer for the workloads, and the parts that most peers share."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import proc
from client import Batch, ask, request

HOME = proc.HERE / ".peers"
ARRAY = 100


class UnavailableError(Exception):
    """The peer cannot run here; the message says why, in a few words."""


class Peer:
    name: str  # on the command line
    label: str  # in the table
    work: frozenset[str] = frozenset()  # the workloads it has an equivalent for
    limited: frozenset[str] = frozenset()  # of the workload `flow`: the events whose limits it can express

    flow_runs: int = 5_000  # of the same workload: how many at a time

    def __init__(self) -> None:
        self.port = proc.free_port()
        self.room = Path()
        self.env: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def install(self) -> None:
        """Once, into bench/.peers; `UnavailableError` if it cannot be."""

    def launch(self) -> None:
        """Start all its processes in `self.room`; need not wait for them."""
        raise NotImplementedError

    # ---- what the workloads call ------------------------------------------------------------

    def start(self, room: Path, marks: Path) -> None:
        self.room = room
        self.env = {"BENCH_MARKS": str(marks)}
        self.launch()

    def ready(self, key: str, seconds: float = 30) -> None:
        """Until it has accepted a first event, whose run marks `key`."""
        batch = self.batch("bench/one", [key])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                status, _ = ask(self.port, batch)
                if status < 300:
                    return
            except OSError:
                pass
            time.sleep(0.003)
        raise UnavailableError(f"{self.name} did not start: {self.last_words()}")

    def batch(self, event: str, keys: Sequence[str], n: float = 0, ids: bool = False) -> Batch:
        """One request for some events: an array of them. `ids` makes it safe to send it twice."""
        events = [{"name": event, "data": {"k": k, "n": n}, **({"id": k} if ids else {})} for k in keys]
        return Batch(request("POST", "/e/bench", json.dumps(events).encode()))

    def batches(self, event: str, keys: Sequence[str], n: float = 0, ids: bool = False) -> list[Batch]:
        return [self.batch(event, keys[i : i + ARRAY], n, ids) for i in range(0, len(keys), ARRAY)]

    def completed(self) -> int | None:
        """How many runs the platform itself says have completed; None where it keeps no such count."""
        return None

    def kill(self, what: str, worker_pid: int) -> None:
        """kill -9 the `worker`, the `server` or `both`, and start again what a supervisor would."""
        raise NotImplementedError

    def family(self) -> set[int]:
        return proc.family(self.room, [p.pid for p in self.processes.values() if p.poll() is None])

    def pss_mb(self) -> float:
        return proc.pss_mb(self.family())

    def stop(self) -> None:
        proc.kill(self.family())
        for process in self.processes.values():
            process.wait()

    def last_words(self) -> str:
        logs = [log.read_text(errors="replace").strip()[-600:] for log in self.room.glob("*.log")]
        return " | ".join(text for text in logs if text) or "it said nothing"

    # ---- what the adapters use --------------------------------------------------------------

    def spawn(self, name: str, command: Sequence[str | Path], options: str = "", **env: str) -> None:
        """`options` are words without spaces in them."""
        self.processes[name] = proc.spawn(name, [*command, *options.split()], self.room, {**self.env, **env})


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, text=True, capture_output=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def venv(name: str, *packages: str) -> None:
    """A virtualenv bench/.peers/<name> with exactly these packages; made once."""
    home, stamp = HOME / name, HOME / name / ".packages"
    if stamp.exists() and stamp.read_text() == " ".join(packages):
        return
    shutil.rmtree(home / "lib", ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", home)
    run(sys.executable, "-m", "pip", "--python", python(name), "install", "-q", *packages)
    stamp.write_text(" ".join(packages))


def python(name: str) -> Path:
    return HOME / name / "bin" / "python"
