"""Ends all processes of a step's program when the program ends, or the worker, however it ends.

Each program leads its own process group, so that all its processes can be killed at once. But then killing the worker's
group does not reach them. So a worker that runs programs has a guard: a shell that reads from a pipe which groups begin
and end, and kills the remaining ones when the pipe closes, because a pipe closes with its process, even by SIGKILL.
Informing the guard costs one short write.

(The kernel could kill a child with its parent, but only if the child asks between fork and exec: code there costs a
real fork of the worker, 20 ms where a spawn takes 2, and may hang in a process with threads.)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading

_SCRIPT = """
live=" "
while read -r what group; do
    case $what in
        +) live="$live$group " ;;
        -) live="${live%%" $group "*} ${live#*" $group "}" ;;
    esac
done
for group in $live; do kill -9 "-$group" 2>/dev/null; done
"""


class Guard:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def watch(self, group: int) -> None:
        """The group has begun."""
        self._tell(b"+ %d\n" % group, begin=True)

    def end(self, group: int) -> None:
        """Kill the rest of the group. Call it before waiting for its leader: until then its number is not reused."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        self._tell(b"- %d\n" % group, begin=False)

    def close(self) -> None:
        """Stop the guard, after killing the remaining groups."""
        with self._lock:
            if self._process is not None and self._pid == os.getpid():
                with self._process:
                    pass
            self._process = None

    def _tell(self, line: bytes, *, begin: bool) -> None:
        with self._lock:
            if begin and (self._process is None or self._pid != os.getpid() or self._process.poll() is not None):
                self._pid = os.getpid()
                self._process = subprocess.Popen(  # noqa: S603  nothing of anybody's is in it
                    ["/bin/sh", "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, process_group=0, cwd="/",
                )  # fmt: skip
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._process.stdin.fileno(), line)


def end_of(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None if the system has no such thing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


GUARD = Guard()
atexit.register(GUARD.close)
