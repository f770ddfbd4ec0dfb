"""A cache of the journals of runs that a process has lately executed, so that it reads only newer records.

A journal is append-only: a record that was read once never changes, so the cache is never wrong, only too short. Each
read asks the store for the head, and for the records after the last cached one. Records are cached encoded: each
reader decodes them anew and shares no object with another.

Not cached: a run that still collects events (its records are blanked in place), one that has ended, and a journal so
short that reading it again costs no more than asking for newer records.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from tidemill.limits import WARM_BYTES, WARM_FROM, WARM_RUNS
from tidemill.model import Head

_EACH = 48  # bytes of memory that a record takes beyond its encoded length


class _Held:
    __slots__ = ("blobs", "first", "size", "snapshot")

    def __init__(self, first: int) -> None:
        self.first = first
        self.blobs: list[bytes] = []  # the records `first`, `first` + 1, …
        self.snapshot: tuple[int, bytes] | None = None
        self.size = 0

    def measured(self) -> int:
        """The bytes of the entry, and how many more than before."""
        before, folded = self.size, len(self.snapshot[1]) if self.snapshot is not None else 0
        self.size = folded + _weight(self.blobs)
        return self.size - before


def _weight(blobs: Sequence[bytes]) -> int:
    return sum(map(len, blobs)) + _EACH * len(blobs)


class Warm:
    """The encoded records and snapshots of some runs, least recently used out first. Safe to use from many threads."""

    def __init__(self, least: int = WARM_FROM, most: int = WARM_BYTES, runs: int = WARM_RUNS) -> None:
        self._least, self._most, self._runs = least, most, runs
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._held

    def after(self, run_id: str, number: int) -> list[bytes]:
        """The cached records above `number`: none, or `number` + 1 and all that follow up to the last cached one."""
        with self._lock:
            held = self._held.get(run_id)
            return held.blobs[number + 1 - held.first :] if held is not None and held.first <= number + 1 else []

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        with self._lock:
            held = self._held.get(run_id)
            return held.snapshot[1] if held is not None and held.snapshot and held.snapshot[0] == seq else None

    def opened(self, head: Head, first: int, blobs: Sequence[bytes]) -> None:
        """An open run was read: these are all its records from number `first` on."""
        if head.due is None or (head.gathers and head.started_at is None):
            self.drop(head.run_id)
            return
        if head.run_id not in self._held and _weight(blobs) < self._least:
            return  # an entry this large would be evicted at once
        with self._lock:
            held = self._held.pop(head.run_id, None) or _Held(first)
            held.first, held.blobs = first, list(blobs)
            if held.snapshot is not None and held.snapshot[0] < first - 1:
                held.snapshot = None
            self._put(head.run_id, held)

    def folded(self, run_id: str, seq: int, data: bytes) -> None:
        """The run's snapshot was read or written."""
        with self._lock:
            held = self._held.pop(run_id, None) or _Held(seq + 1)
            held.snapshot = (seq, data)
            self._put(run_id, held)

    def drop(self, run_id: str) -> None:
        with self._lock:
            held = self._held.pop(run_id, None)
            self._bytes -= held.size if held is not None else 0

    def clear(self) -> None:
        with self._lock:
            self._held.clear()
            self._bytes = 0

    def _put(self, run_id: str, held: _Held) -> None:
        self._bytes += held.measured()
        if not self._least <= held.size <= self._most:
            self._bytes -= held.size
            return
        self._held[run_id] = held
        while self._bytes > self._most or len(self._held) > self._runs:
            _, oldest = self._held.popitem(last=False)
            self._bytes -= oldest.size
