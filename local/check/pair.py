"""Two processes that replay the same runs under other seeds; their answers side by side, in order."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from tidemill_local.cli.stop import FAILED, Stop

_SEEDS = (1, 2)
_HIDDEN = ("AWS_", "TIDEMILL_")  # the code is checked without the credentials of who checks it
_Answer = dict[str, Any] | None


class Pair:
    """Raises Stop where the code cannot be loaded."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        self._workers = [_Worker(seed, targets) for seed in _SEEDS]
        problems = [worker.answer()["problem"] for worker in self._workers]
        if any(problems):
            self.close()
            raise Stop(FAILED, problems[0] or problems[1])

    def send(self, run: bytes) -> None:
        for worker in self._workers:
            worker.send(run)

    def answers(self, count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Those of the next runs. Raises Stop where a process has died."""
        for _ in range(count):
            first, second = (worker.answer() for worker in self._workers)
            yield first, second

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


class _Worker:
    def __init__(self, seed: int, targets: tuple[str, ...]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_HIDDEN)}
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and the targets as they were named
            [sys.executable, "-m", "tidemill_local.check.worker", str(seed), *targets],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**kept, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()  # small ones, one a run
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, run: bytes) -> None:
        try:
            self._input.write(run)
            self._input.flush()
        except BrokenPipeError:
            raise _died() from None

    def answer(self) -> dict[str, Any]:
        said = self._answers.get()
        if said is None:
            raise _died()
        return said

    def _read(self) -> None:
        for line in self._output:
            self._answers.put(msgspec.json.decode(line))
        self._answers.put(None)

    def close(self) -> None:
        """A replay that comes to no end has a thread that nothing stops."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._output.close()


def _died() -> Stop:
    return Stop(FAILED, "the process that replays the runs has died: the code ends it, or took all memory")
