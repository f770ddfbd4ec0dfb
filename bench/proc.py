"""Starts and ends processes, finds their children, and measures their memory. Linux only (/proc)."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"


def spawn(name: str, command: Sequence[str | Path], room: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run from `room`, the output in `room/name.log`, bench/apps importable."""
    full = {**os.environ, "PYTHONPATH": str(APPS), "BENCH_ROOM": str(room), **env}
    with (room / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [str(c) for c in command],
            cwd=room,
            env=full,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def family(room: Path, roots: Iterable[int]) -> set[int]:
    """The roots, others that were started for this room (orphans), and all their descendants."""
    children: dict[int, list[int]] = {}
    ours = list(roots)
    mark = f"BENCH_ROOM={room}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                ours.append(int(folder.name))
    for pid in ours:
        ours += [child for child in children.get(pid, []) if child not in ours]
    return set(ours)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of the processes in MB, shared pages divided among those that share them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def machine() -> dict[str, str]:
    """What the numbers depend on, and nothing that names the machine."""
    cpu = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GB",
        "system": f"Linux {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }
