"""Keeps processes of Lambda functions warm between invocations, as Lambda does: a few, for a short time."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tidemill_local.runtimes.runtime_api import LambdaProcess

MOST = 16  # processes at once; one more invocation waits for one of them
IDLE = 60.0  # seconds that an idle one is kept


class Code(NamedTuple):
    """The code of a process; a process with other code cannot be used."""

    folder: Path
    handler: str
    memory: int
    version: int


@dataclass
class _Idle:
    code: Code
    process: LambdaProcess
    since: float


class Warm:
    def __init__(self, most: int = MOST, idle: float = IDLE, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._keep = idle
        self._monotonic = monotonic
        self._idle: list[_Idle] = []  # the longest idle first
        self._alive = 0
        self._changed = threading.Condition()
        self._reaping = False
        atexit.register(self.close)

    def take(self, code: Code, name: str) -> tuple[LambdaProcess, bool]:
        """A process with this code, and whether it is warm."""
        ended: list[LambdaProcess] = []
        try:
            with self._changed:
                while True:
                    found = self._fitting(code, ended)
                    if found is not None:
                        return found, True
                    if self._alive < self._most:
                        self._alive += 1
                        break
                    if self._idle:
                        self._alive -= 1
                        ended.append(self._idle.pop(0).process)
                    else:
                        self._changed.wait()
        finally:
            for process in ended:
                process.end()
        try:
            return LambdaProcess(code.folder, code.handler, code.memory, name), False
        except BaseException:
            self._gone()
            raise

    def give(self, code: Code, process: LambdaProcess) -> None:
        """Return a process that has answered."""
        with self._changed:
            self._idle.append(_Idle(code, process, self._monotonic()))
            self._changed.notify()
            if not self._reaping:
                self._reaping = True
                threading.Thread(target=self._reap, name="tidemill-lambdas", daemon=True).start()

    def drop(self, process: LambdaProcess) -> None:
        """Remove a process that cannot be used again."""
        process.end()
        self._gone()

    def close(self) -> None:
        """End the idle processes."""
        with self._changed:
            ended, self._idle = self._idle, []
            self._alive -= len(ended)
            self._changed.notify_all()
        for each in ended:
            each.process.end()

    def _gone(self) -> None:
        with self._changed:
            self._alive -= 1
            self._changed.notify()

    def _fitting(self, code: Code, ended: list[LambdaProcess]) -> LambdaProcess | None:
        """The last one used; processes with older code, and dead ones, are ended."""
        for each in reversed(self._idle.copy()):
            same = each.code[:-1] == code[:-1]
            if same and (each.code != code or not each.process.alive()):
                self._idle.remove(each)
                self._alive -= 1
                ended.append(each.process)
            elif same:
                self._idle.remove(each)
                return each.process
        return None

    def _reap(self) -> None:
        while True:
            with self._changed:
                if not self._idle:
                    self._reaping = False
                    return
                left = self._idle[0].since + self._keep - self._monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                expired = self._idle.pop(0).process
                self._alive -= 1
                self._changed.notify()
            expired.end()


class Versions:
    """The version of a folder's code: its files by name, size and time of change.

    Checking takes time: the answer is reused for `share` times as long.
    """

    def __init__(self, share: int = 20) -> None:
        self._share = share
        self._known: dict[Path, tuple[int, float]] = {}  # the version, and until when it is reused

    def of(self, folder: Path) -> int:
        known = self._known.get(folder)
        began = time.monotonic()
        if known is not None and began < known[1]:
            return known[0]
        version = hash(tuple(sorted(_files(folder))))
        ended = time.monotonic()
        self._known[folder] = (version, ended + (ended - began) * self._share)
        return version


def _files(folder: str | Path) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__" and not entry.name.startswith("."):
                    found += _files(entry.path)
            else:
                stat = entry.stat(follow_symlinks=False)
                found.append((entry.path, stat.st_size, stat.st_mtime_ns))
    return found
