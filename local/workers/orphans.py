"""Ends processes whose parent has ended: on Linux the nearest subreaper above becomes their parent.

A step's program may leave its process group and session (`setsid`, a daemon), so that killing its worker's group does
not reach it. The zygote adopts such processes, and the server those of a killed zygote. Other systems than
Linux lack this: there a process that leaves its group outlives its worker.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

MARK = "TIDEMILL_WORKER"  # the worker's pid, in the environment of every process that it starts
_LONGEST = 2.0  # seconds to wait for killed processes; one that the kernel blocks is left
_LINUX = sys.platform == "linux"


def take_in() -> None:
    """Make this process the parent of descendants whose parents end."""
    if _LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def kill(spared: Callable[[int], bool]) -> None:
    """Kill the children of this process that are not spared, and in turn the children that they leave to it."""
    deadline = time.monotonic() + _LONGEST
    while (found := [pid for pid in children() if not spared(pid)]) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in found:
            _wait(pid, deadline)


def marked(pid: int) -> int:
    """The pid of the worker that started this process; 0 if unknown."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return 0
    found = next((each for each in environment.split(b"\0") if each.startswith(MARK.encode() + b"=")), b"=0")
    text = found.partition(b"=")[2]
    return int(text) if text.isdigit() else 0


def children() -> list[int]:
    """The children of this process (Linux; none elsewhere)."""
    if not _LINUX:
        return []
    parent = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == parent]


def _parent(name: str) -> int:
    try:
        stat = Path(f"/proc/{name}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])  # the name before it may contain any characters


def _wait(pid: int, deadline: float) -> None:
    with contextlib.suppress(ChildProcessError):
        while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(0.001)
