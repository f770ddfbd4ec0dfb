"""What the engine needs of the world. A world (Lambda, `tidemill dev`, a test) is a set of adapters behind these.

Every call may fail, be slow, succeed and look failed, or be made twice; the engine is written for that. Nothing here
promises more than one item's conditional write and a strongly consistent read by key, except `RunStore.append` with
a head change, which is one transaction. Times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from tidemill.core.journal import Claimed, Record
from tidemill.model import Event, FunctionSpec, Head, HeadChange, RunStatus, Wait


class RunQuery(msgspec.Struct, frozen=True):
    """Runs, newest first. `after` compares `created_at`; `cursor` is the last row of the page before."""

    function_id: str | None = None
    status: RunStatus | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (created_at, run_id)


class EventQuery(msgspec.Struct, frozen=True):
    """Events, newest first. `after` compares `received_at`; signals are never listed."""

    name: str | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (received_at, id)


class RunStore(Protocol):
    def create(self, head: Head, records: Sequence[Record]) -> bool:
        """Put a new run: its head, records 0, 1, …, and a pointer under each of its events. False: it exists."""
        ...

    def head(self, run_id: str) -> Head | None: ...

    def read(self, run_id: str, after: int = -1) -> list[Record]:
        """The records numbered above `after`, in order, never stale. Raises JournalError at a gap."""
        ...

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> list[Record] | None:
        """Append `records` at numbers `seq`, `seq`+1, … if nobody took `seq`, with the head's change in the same transaction.

        None: appended. Otherwise nothing was written, and the answer is what stands at `seq` and after.
        Where the first record is an `Ended` the adapter may write the head after it instead of with it.
        """
        ...

    def change(self, run_id: str, change: HeadChange) -> None:
        """Change the head of a run that has ended; harmless to do twice."""
        ...

    def redue(self, run_id: str, was: int | None, due: int) -> None:
        """Move the due time of an open run, unless it has moved since it was read as `was`."""
        ...

    def overdue(self, now: int, limit: int) -> list[Head]:
        """Open runs whose due time is at or before `now`, the most overdue first."""
        ...

    def page(self, query: RunQuery) -> list[Head]: ...

    def of_event(self, event_id: str) -> list[Head]:
        """The runs that this event started, oldest first."""
        ...

    def chunk_done(self, run_id: str, key: str, chunk: int) -> int:
        """Note that this chunk of the map `key` has ended; how many have. Harmless to do twice."""
        ...

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None: ...

    def snapshot(self, run_id: str, seq: int) -> bytes | None: ...


class EventStore(Protocol):
    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> None:
        """Store the event, and under each awaited (path, hash) of its name. Harmless to do twice."""
        ...

    def get(self, event_id: str) -> Event | None: ...

    def page(self, query: EventQuery) -> list[Event]: ...

    def paths(self, name: str) -> dict[str, int]:
        """The paths by which events of this name have been awaited, and since when events are stored under them."""
        ...

    def add_path(self, name: str, path: str, now: int) -> int:
        """From now on store events of this name under `path` too. Since when they are (an earlier call's `now` stands)."""
        ...

    def by_key(self, name: str, path: str, hash_: str, after: int, limit: int) -> list[Event]:
        """Events stored under this path and value and received later than `after`, oldest first."""
        ...

    def by_name(self, name: str, after: int, before: int, limit: int) -> list[Event]:
        """Events of this name received in (after, before], oldest first."""
        ...


class WaitStore(Protocol):
    def put(self, wait: Wait) -> None:
        """Put (or put again) the wait of this run, step and label."""
        ...

    def drop(self, run_id: str, key: str | None = None) -> None:
        """Delete the waits of a run's step, or all of a run's."""
        ...

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page of the waits under this name, path and value; `after` is (run_id, key) of the last wait before."""
        ...

    def awaited(self, name: str) -> bool:
        """Whether any run waits for events of this name."""
        ...


class Blobs(Protocol):
    def put(self, data: bytes) -> str:
        """Keep `data`; its name is made from its content."""
        ...

    def get(self, name: str) -> bytes: ...


class Queue(Protocol):
    """The functions' queues. What they carry is a hint: "look at this run", now or at a time."""

    def look(self, run_id: str, function_id: str, at: int | None = None) -> None: ...

    def forget(self, run_id: str) -> None:
        """The run has ended: a timer that still points at it may be deleted."""
        ...


class Registry(Protocol):
    def function(self, function_id: str) -> FunctionSpec | None: ...

    def listeners(self, name: str) -> list[FunctionSpec]:
        """The functions with a trigger whose name pattern takes events of this name (`when` not yet tested)."""
        ...

    def version(self, function_id: str) -> str:
        """The version of the code that would run now."""
        ...


class Clock(Protocol):
    def now(self) -> int: ...


class Entropy(Protocol):
    def random(self) -> float:
        """In [0, 1)."""
        ...

    def bytes(self, count: int) -> bytes: ...


class Liveness(Protocol):
    def alive(self, claim: Claimed, now: int) -> bool:
        """Whether the executor of this claim may still be at work."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """One set of adapters: all that the engine may touch."""

    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs
    queue: Queue
    registry: Registry
    clock: Clock
    entropy: Entropy
    liveness: Liveness
