"""What a dry replay is given of a run: its records, from the first or from a snapshot on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tidemill.core import snapshot
from tidemill.core.journal import Blocked, HandedOver, Record, Suspended, Terminal
from tidemill.core.state import RunState, fold
from tidemill.engine.drive.live import Left
from tidemill.errors import JournalError


@dataclass(frozen=True, slots=True)
class Recorded:
    """`records`: from number `base` on; `snapshot` holds those before. `whole`: the run whose map this is a part of.
    `redacted`: placeholders stand for its text.
    """

    run_id: str
    records: Sequence[Record]
    base: int = 0
    snapshot: bytes | None = None
    whole: Recorded | None = None
    redacted: bool = False

    def state(self) -> RunState:
        """Raises JournalError where the journal cannot be true."""
        if self.base == 0:
            state = fold(self.records)
        else:
            state = snapshot.decode(self.snapshot) if self.snapshot is not None else RunState()
            if state.seq != self.base - 1:
                raise JournalError(f"the journal of run {self.run_id} lacks its records before number {self.base}")
            state.add(self.records)
        _ = state.birth
        return state

    def positions(self) -> dict[str, int]:
        """Of each step the number of the first record that tells of it."""
        found: dict[str, int] = {}
        for number, record in enumerate(self.records, self.base):
            for key in _steps(record):
                found.setdefault(key, number)
        return found

    def targets(self) -> dict[str, str]:
        """What each step that was blocked waited for: the event, the signal or the function."""
        return {blocked.key: blocked.name for record in self.records for blocked in _blocked(record) if blocked.name}


def _steps(record: Record) -> Iterator[str]:
    key = getattr(record, "key", None)
    if isinstance(key, str):
        yield key
    for blocked in _blocked(record):
        yield blocked.key


def _blocked(record: Record) -> tuple[Blocked, ...]:
    return record.blocked if isinstance(record, Suspended | HandedOver) else ()


class NewWork(Left):
    """The plan of a step has come to its first effect."""


class Remembering:
    """A keeper that only remembers: for a part of a map, the journal of its run, as it was while the run was open."""

    def __init__(self, recorded: Recorded) -> None:
        self._whole = recorded.whole

    def journal(self, run_id: str, after: int = -1) -> list[Record]:
        whole = self._whole
        if whole is None or whole.run_id != run_id or whole.base != 0:
            raise JournalError(f"the journal of run {run_id}, which this is a part of, is not at hand")
        records: list[Record] = [record for record in whole.records if not isinstance(record, Terminal)]
        return records[after + 1 :]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise NewWork
