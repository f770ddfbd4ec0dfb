"""Kills processes with -9 in the middle of 2,000 runs: counts lost runs, and steps that ran twice.

The client sends again what was refused or cut off, with the same ids. A supervisor's part (starting again what
was killed) is played at once by the bench, except where the platform does it itself.
"""

from __future__ import annotations

import contextlib
import threading
import time

from client import Batch, blast
from marks import StalledError

from work.base import Reach, Rig, Row, settled

CONCURRENCY = 32  # tidemill dev's default
ROUNDS = 1
TARGETS = ("worker", "server", "both")
ROWS = tuple(
    row
    for what in TARGETS
    for row in (
        Row(f"kill -9 of {what}: lost runs", f"{what} lost", "", (Reach(0),)),
        Row(f"kill -9 of {what}: doubled steps", f"{what} doubled", "", (Reach(CONCURRENCY),)),
    )
)


def measure(rig: Rig) -> dict[str, float]:
    values: dict[str, float] = {}
    for what in TARGETS:
        lost, doubled = kill_one(rig, what)
        values |= {f"{what} lost": lost, f"{what} doubled": doubled}
    return values


def send(port: int, batches: list[Batch]) -> None:
    """With a patience that outlasts a restart; what still could not be sent shows as lost."""
    with contextlib.suppress(OSError):
        blast(port, batches, patience=60)


def kill_one(rig: Rig, what: str) -> tuple[int, int]:
    count, warm = rig.count(2000, 500), 100
    with rig.open(warm) as stage:
        peer, marks = stage.peer, stage.marks
        batches = peer.batches("bench/one", [f"k{i}" for i in range(count)], ids=True)
        sending = threading.Thread(target=send, args=(peer.port, batches))
        sending.start()
        marks.wait("e", count * 3 // 10, every=0.001)
        peer.kill(what, marks.all[-1].pid)
        with contextlib.suppress(StalledError):
            marks.wait("e", count, quiet=rig.count(60, 20))
        sending.join()
        time.sleep(1)  # a late double should be seen
        marks.read()
        lost = count - marks.count("e")
        doubled = sum(mark.kind == "s" for mark in marks.all) - marks.count("s")
        if not lost:
            settled(f"kill {what}", count + warm + 1, peer, 30)
        return lost, doubled
