"""The stores of runs, events, waits and large values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tidemill.core.journal import Record, Started
from tidemill.model import Event, Head, HeadChange, RunStatus, Wait
from tidemill.ports.lists import EventQuery, Page, RunQuery


class Appended(msgspec.Struct, frozen=True):
    """The records have their numbers."""


class Lost(msgspec.Struct, frozen=True):
    """Nothing was written: others were first, and `found` is the records at the number and after."""

    found: list[Record]


APPENDED = Appended()


class RunStore(Protocol):
    def create(self, head: Head, records: Sequence[Record]) -> bool:
        """Put a new run: its head, records 0, 1, …, and a pointer under each of its events. False: it exists.

        A store in which records expire sets `head.kept` to the time before which none expires.
        """
        ...

    def head(self, run_id: str) -> Head | None: ...

    def open(self, run_id: str) -> tuple[Head, list[Record]] | None:
        """The head, and the records after its snapshot as `read` gives them, both from one moment."""
        ...

    def read(self, run_id: str, after: int = -1) -> list[Record]:
        """The records numbered above `after`, in order, never stale. Raises JournalError at a gap."""
        ...

    def birth(self, run_id: str) -> Started | None:
        """Record 0 of a run."""
        ...

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        """Append `records` at `seq`, `seq`+1, … unless `seq` is taken; the head's change is in the same transaction.

        `seq` follows the last record that the caller has read or written: records that were appended together are
        read together, so no caller asks for a number in the middle of them.
        `Lost` also for a write that was made before and looked failed: the engine appends by way of
        `engine.runs.append.append`, which knows its own records.
        Where the first record is an `Ended` the adapter may write the head after it instead of with it.
        """
        ...

    def rewrite(self, run_id: str, seq: int, record: Record) -> None:
        """Replace the record with this number, which was appended alone, by one that says less."""
        ...

    def change(self, run_id: str, change: HeadChange) -> None:
        """Change the head of a run that has ended; harmless to do twice."""
        ...

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        """Move the due time of an open run from `was`, with the reason why it is held; no effect after another move."""
        ...

    def overdue(self, now: int, limit: int) -> list[Head]:
        """Open runs whose due time is at or before `now`, the most overdue first."""
        ...

    def page(self, query: RunQuery) -> Page[Head]:
        """Lists leave out the chunks of a map."""
        ...

    def of_event(self, event_id: str) -> Page[Head]:
        """The runs that this event started, oldest first."""
        ...

    def counts(self) -> dict[str, dict[RunStatus, int]]:
        """By function, how many of its runs are `scheduled` (its backlog) and `running`; zeros may be left out."""
        ...

    def idle(self) -> dict[str, int]:
        """By function, how many of its runs are `sleeping` or `waiting`; zeros may be left out."""
        ...

    def chunk_done(self, run_id: str, key: str, chunk: int) -> int:
        """Note that this chunk of the map `key` has ended; return how many have. Harmless to do twice."""
        ...

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None:
        """Keep the run's snapshot, of the records 0 … `seq`, in place of the one before."""
        ...

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        """The run's snapshot, if it is the one of the records 0 … `seq`."""
        ...

    def renew(self, run_id: str, until: int) -> None:
        """Ensure that nothing of the run expires before `until`. Harmless to do twice; a store that keeps all does
        nothing."""
        ...


class EventStore(Protocol):
    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        """Store the event, also under each awaited (path, hash) of its name. Harmless to do twice.

        False: another event has its id and was received within EVENT_MEMORY before; nothing was stored.
        """
        ...

    def get(self, event_id: str) -> Event | None: ...

    def reject(self, event: Event) -> bool:
        """Keep an event with the reason why it was not taken in, apart from all that were. Harmless to do twice.

        False: one was rejected under its id before, and stays as it is.
        """
        ...

    def rejected(self, event_id: str) -> Event | None:
        """The event that was rejected under this id, whether it was taken in since or not."""
        ...

    def accepted(self, event_id: str) -> None:
        """An event that was rejected has been taken in after all: no list of rejected ones names it any more."""
        ...

    def page(self, query: EventQuery) -> Page[Event]:
        """A page ends early, after at least one event, when its events reach ANSWER_BYTES."""
        ...

    def paths(self, name: str) -> dict[str, int]:
        """The paths by which events of this name have been awaited, and since when events are stored under them."""
        ...

    def add_path(self, name: str, path: str, now: int) -> int:
        """From now on store events of this name under `path` too. Answers since when (a first call's `now` stands)."""
        ...

    def by_key(self, name: str, path: str, hash_: str, after: int, before: int, limit: int) -> list[Event]:
        """Events stored under this path and value that take effect in (after, before], the earliest first."""
        ...

    def by_name(self, name: str, after: int, before: int, limit: int) -> list[Event]:
        """Events of this name that take effect in (after, before], the earliest first."""
        ...

    def delayed(self, now: int, limit: int) -> list[tuple[str, int]]:
        """The ids of delayed events that are due by `now`, each with its due time, the most overdue first.

        An event whose `ts` lies ahead of its receipt is due at its `ts` from the moment at which it is stored.
        """
        ...

    def redue(self, event_id: str, due: int | None) -> None:
        """Move the due time of this delayed event; None: it is done. No effect without a due time."""
        ...


class WaitStore(Protocol):
    def put(self, wait: Wait) -> None:
        """Store the wait of this run, step and label; harmless to do twice."""
        ...

    def drop(self, run_id: str, key: str | None = None) -> None:
        """Delete the waits of a run's step, or all of a run's."""
        ...

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page of the waits under this name, path and value; `after` is (run_id, key) of the last wait before."""
        ...

    def awaited(self, name: str) -> bool:
        """Whether any run waits for this event of the platform."""
        ...


class Blobs(Protocol):
    def put(self, data: bytes, name: str | None = None) -> str:
        """Store `data` under a name that is made from its content. `name`: replace the blob with this name instead."""
        ...

    def get(self, name: str) -> bytes: ...

    def address(self, name: str) -> str | None:
        """A URL at which anybody may read the blob for a few minutes; None if answers have no limit and need no URL."""
        ...

    def renew(self, name: str) -> None:
        """Keep the blob as long as one that is stored now. No effect if there is no such blob."""
        ...
