"""Reads the marks that the benched functions write (apps/mark.py), while the file grows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple


class Mark(NamedTuple):
    kind: str
    key: str
    ns: int
    pid: int


class StalledError(Exception):
    """Runs that should have ended have not; the message says how many did."""


class Marks:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"")
        self._file = path.open("rb")
        self._rest = b""
        self.all: list[Mark] = []
        self._keys: dict[str, set[str]] = {}

    def read(self) -> None:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            kind, key, ns, pid = line.decode().split(" ")
            self.all.append(Mark(kind, key, int(ns), int(pid)))
            self._keys.setdefault(kind, set()).add(key)

    def count(self, kind: str) -> int:
        """How many different keys have a mark of this kind."""
        return len(self._keys.get(kind, ()))

    def wait(self, kind: str, count: int, quiet: float = 30, every: float = 0.005) -> None:
        """Until `count` keys have the mark; `StalledError` when nothing at all has moved for `quiet` seconds."""
        self.read()
        seen, last = len(self.all), time.monotonic()
        while self.count(kind) < count:
            time.sleep(every)
            self.read()
            if len(self.all) > seen:
                seen, last = len(self.all), time.monotonic()
            elif time.monotonic() - last > quiet:
                raise StalledError(f"{self.count(kind)} of {count} marks {kind!r}, and nothing more in {quiet:.0f} s")

    def first(self, kind: str) -> dict[str, int]:
        """Each key's first mark of this kind, in ns."""
        found: dict[str, int] = {}
        for mark in self.all:
            if mark.kind == kind:
                found.setdefault(mark.key, mark.ns)
        return found

    def forget(self) -> None:
        """Start afresh: what was read so far (warm-up, an earlier phase) no longer counts."""
        self.read()
        self.all.clear()
        self._keys.clear()
