"""The parts of a workload: a rig that opens platforms one at a time, and the rows that it fills in the table."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from client import blast
from marks import Marks, StalledError
from peers.base import Peer


@dataclass(frozen=True)
class Reach:
    """`bound` on Tidemill's value, or on its ratio to a peer's value."""

    bound: float
    peer: str = ""
    more_is_better: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.more_is_better else value <= self.bound

    def text(self, unit: str) -> str:
        return f"{'≥' if self.more_is_better else '≤'} {self.bound:g} {unit}".strip()


@dataclass(frozen=True)
class Row:
    title: str
    metric: str
    unit: str
    reach: tuple[Reach, ...] = ()


@dataclass(eq=False)
class Stage:
    """One platform, alive and warm, with a fresh data folder and nothing else running beside it."""

    peer: Peer
    marks: Marks

    def run(self, event: str, keys: Sequence[str], n: float = 0, ends: int | None = None, end: str = "e") -> int:
        """Send everything, wait for every end; when the first byte went out (ns)."""
        started = blast(self.peer.port, self.peer.batches(event, keys, n))
        self.marks.wait(end, len(keys) if ends is None else ends)
        return started

    def one(self, event: str, key: str, n: float = 0, kind: str = "e", mark: str = "") -> tuple[int, int]:
        """One event and its run: sent at, mark at (ns)."""
        batch = self.peer.batch(event, [key], n)
        before = self.marks.count(kind)
        started = blast(self.peer.port, [batch])
        self.marks.wait(kind, before + 1, every=0.0005)
        return started, self.marks.first(kind)[mark or key]


@dataclass
class Rig:
    kind: type[Peer]
    quick: bool

    @contextlib.contextmanager
    def open(self, warm: int = 100) -> Iterator[Stage]:
        with self.closed() as stage:
            peer, marks = stage.peer, stage.marks
            peer.start(peer.room, marks.path)
            peer.ready("first")
            marks.wait("e", 1)
            stage.run("bench/one", [f"warm{i}" for i in range(warm)], ends=warm + 1)
            marks.forget()
            yield stage

    @contextlib.contextmanager
    def closed(self) -> Iterator[Stage]:
        """A platform not started yet."""
        room = Path(tempfile.mkdtemp(prefix="bench-"))
        peer = self.kind()
        peer.room = room
        try:
            yield Stage(peer, Marks(room / "marks"))
        except StalledError as problem:
            raise StalledError(f"{problem}; its log: {peer.last_words()}") from None
        finally:
            peer.stop()
            shutil.rmtree(room, ignore_errors=True)

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def ms(ns: float) -> float:
    return ns / 1e6


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def settled(check: str, expected: int, peer: Peer, seconds: float = 5) -> None:
    """The platform's own count of completed runs must agree with the marks (it may lag by a moment)."""
    until = time.monotonic() + seconds
    while (found := peer.completed()) is not None and found < expected:
        if time.monotonic() > until:
            raise StalledError(f"{check}: marks say {expected} runs ended, {peer.label} itself says {found}")
        time.sleep(0.05)
