"""The runtime `docker` without a Docker engine: runs a step's folder as a plain process of this machine.

The process starts in that folder with the ENTRYPOINT of its Dockerfile, and the input as last argument; the results of
FROM, COPY, RUN and WORKDIR are assumed to exist. Standard output is the output, standard error the log. When the
program ends or times out, all processes that it has started are killed (see guard.py).
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.core.definition import Docker
from tidemill.limits import KIB, MIB, SECOND
from tidemill.runtimes.output import (
    ARGUMENT_BYTES,
    OUTPUT_BYTES,
    REFUSED,
    Bounded,
    Clock,
    StepLog,
    Streams,
    checked,
    encoded,
    exited,
    failed,
    printed,
    timed_out,
    too_much,
)
from tidemill_local.runtimes import dockerfile
from tidemill_local.runtimes.guard import GUARD, end_of
from tidemill_local.runtimes.inputs import InputServer

if TYPE_CHECKING:
    from tidemill.task import Task

NOTE = (
    "tidemill: no Docker engine answers here: `docker` steps run as plain processes, in their folders, by the "
    "ENTRYPOINT of their Dockerfiles"
)
_CHUNK = 64 * KIB
_PIPE = MIB  # as much as a pipe can hold
_LOOK = 50  # milliseconds between two checks of a process, where the system does not report its end


class ProcessRuntime:
    """`clock` is the time in milliseconds; `note` is called once, to say that processes replace containers."""

    def __init__(self, clock: Clock, note: Callable[[str], None] | None = None) -> None:
        self._clock = clock
        self._note = note
        self._inputs = InputServer()
        self._starts: dict[Path, tuple[int, dockerfile.Start]] = {}
        self._lock = threading.Lock()

    def __call__(self, task: Task) -> Any:
        assert isinstance(task.step.runtime, Docker)
        self._say_so()
        folder = _folder(task)
        start = self._start(task, folder)
        data = encoded(task)
        with contextlib.ExitStack() as stack:
            argument: str | bytes = data
            if len(data) > ARGUMENT_BYTES:
                argument = stack.enter_context(self._inputs.serving(data))
            out = _run(task, folder, start, argument, self._clock)
        return checked(task, printed(out), self._clock())

    def _say_so(self) -> None:
        if self._note is not None:
            with self._lock:
                note, self._note = self._note, None
            if note is not None:
                note(NOTE)

    def _start(self, task: Task, folder: Path) -> dockerfile.Start:
        """Read once, and again when the file has changed."""
        path = folder / "Dockerfile"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            stamp = 0
        known = self._starts.get(path)
        if known is None or known[0] != stamp or not stamp:
            try:
                known = (stamp, _on_this_machine(dockerfile.start(path)))
            except dockerfile.DockerfileError as error:
                message = f"step {task.step.id!r} cannot be run from {task.step.path}: {error}"
                raise failed(REFUSED, message, retriable=False) from error
            self._starts[path] = known
        return known[1]


def _folder(task: Task) -> Path:
    if task.step.path is None:
        assert isinstance(task.step.runtime, Docker)
        image = task.step.runtime.image
        said = (
            f"step {task.step.id!r} has the image {image!r} and no folder, and no Docker engine answers here to run it"
        )
        raise failed(REFUSED, f'{said}; start the engine, or give the step a "path"', retriable=False)
    folder = Path(task.folder, task.step.path)
    if not folder.is_dir():
        said = f"step {task.step.id!r}: its path {task.step.path} is no folder"
        raise failed(REFUSED, said, retriable=False)
    return folder


def _on_this_machine(start: dockerfile.Start) -> dockerfile.Start:
    """`python` is this interpreter if the path has none: an environment need not be activated."""
    program, *rest = start.command
    path = start.environment.get("PATH", os.environ.get("PATH"))
    if program in ("python", "python3") and shutil.which(program, path=path) is None:
        program = sys.executable
    return dockerfile.Start((program, *rest), {**os.environ, **start.environment})


def _run(task: Task, folder: Path, start: dockerfile.Start, argument: str | bytes, now: Clock) -> bytes:
    """The program's standard output, once it has ended well."""
    timeout = task.step.timeout
    deadline = None if timeout is None else time.monotonic() + timeout / SECOND
    try:
        process = subprocess.Popen(  # noqa: S603  the program that the definition names
            [*start.command, argument], cwd=folder, env=start.environment, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        message = f"step {task.step.id!r}: {start.command[0]!r}, the ENTRYPOINT of its Dockerfile, cannot be started"
        advice = f"from {task.step.path} on this machine: {error.strerror}"
        raise failed(REFUSED, f"{message} {advice}", retriable=False) from error
    log, out = StepLog(task), Bounded()
    with process:
        try:
            GUARD.watch(process.pid)
            pipes = _Pipes(process, out, log)
            stopped = pipes.until_the_end(deadline)
        finally:
            GUARD.end(process.pid)
        if stopped is None and not pipes.rest():
            stopped = "size"
    log.end()
    if stopped == "time":
        assert timeout is not None
        raise timed_out(task, timeout, "its process")
    if stopped == "size":
        raise too_much(task, "its standard output", OUTPUT_BYTES, "let it store the data, and print its address")
    if process.returncode:
        code = process.returncode
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise exited(task, f"its process ended with {how}", Streams(out, log), now())
    return out.bytes()


class _Pipes:
    """A process's output. It is read until the process ends, not its streams: other processes that it started may keep
    those open."""

    def __init__(self, process: subprocess.Popen[bytes], out: Bounded, log: StepLog) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._out, self._log = out, log
        self._stdout = process.stdout.fileno()
        self._open = {self._stdout, process.stderr.fileno()}
        for stream in self._open:
            os.set_blocking(stream, False)

    def until_the_end(self, deadline: float | None) -> str | None:
        """None: the process has ended. Else why it must be stopped: "time" or "size"."""
        end = end_of(self._process.pid)
        poll = select.poll()
        for fd in self._open if end is None else {*self._open, end}:
            poll.register(fd, select.POLLIN)
        try:
            while True:
                left = None if deadline is None else max(0, int((deadline - time.monotonic()) * SECOND) + 1)
                ready = [fd for fd, _ in poll.poll(left if end is not None else min(left or _LOOK, _LOOK))]
                if end in ready if end is not None else self._process.poll() is not None:
                    return None
                for fd in ready:
                    if not self._read(fd):
                        return "size"
                    if fd not in self._open:
                        poll.unregister(fd)
                if deadline is not None and time.monotonic() >= deadline:
                    return "time"
        finally:
            if end is not None:
                os.close(end)

    def rest(self) -> bool:
        """Read the rest of its streams; False: too much."""
        for _ in range(_PIPE // _CHUNK):
            for fd in list(self._open):
                if not self._read(fd):
                    return False
        return True

    def _read(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self._open.discard(fd)
        if fd == self._stdout:
            return self._out.take(data)
        self._log.take(data)
        return True
