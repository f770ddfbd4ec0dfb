"""The keeper port: writes the journal for an executor of a run's code, which may be in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tidemill.core.journal import Record
from tidemill.model import Event, Head, HeadChange, Parent, Wait
from tidemill.ports.stores import Appended, Lost


class Keeper(Protocol):
    """The keeper writes the journal for an executor of a run's code: in the same process, or over a socket."""

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        """As `RunStore.append`, but its own records are never `Lost`.

        With a change, the keeper also performs its effects: wakes, or those of a run's end.
        """
        ...

    def wait(self, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> tuple[Wait, Event] | None:
        """Register the waits of one step, then look back: the oldest event that already satisfies one of them.

        `taken`: (digest of the wait, event id) of the events that earlier waits of the run have received.
        """
        ...

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        """Start the run that this step waits for; its id derives from run and step. False: no such function."""
        ...

    def send(self, events: Sequence[Event]) -> None:
        """Send events; their ids derive from run and step, so that sending twice is sending once."""
        ...

    def map(self, head: Head, key: str, parts: Sequence[bytes]) -> None:
        """Start the chunk runs of a map step, each with its encoded items."""
        ...

    def snapshot(self, head: Head, seq: int, data: bytes) -> None:
        """Keep the folded state of records 0 … seq, before the head names it."""
        ...

    def restore(self, run_id: str, seq: int) -> bytes | None:
        """The snapshot of records 0 … seq."""
        ...

    def ended(self, head: Head, maps: Mapping[str, int]) -> None:
        """Delete what this executor has left behind since the run ended under it.

        `maps`: those that it has begun and not collected, each with its number of chunks.
        """
        ...

    def chunks(self, run_id: str, key: str, count: int) -> list[Record]:
        """The terminal records of a map's chunks, in order."""
        ...

    def journal(self, run_id: str, after: int = -1) -> list[Record]:
        """All records of a run: a chunk replays its parent's."""
        ...
