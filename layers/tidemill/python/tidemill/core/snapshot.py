"""A snapshot: the state of a long run as one value, so that a wake need not read the whole journal.

A snapshot of record `seq` replaces the records 0 … seq. It is written before the `Suspended` record whose head names
it, and can always be made again from the journal. A head's own fields (the claim, the due time) depend only on
the records after it: the first of these is that `Suspended`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from tidemill.core.journal import (
    Admitted,
    AttemptFailed,
    Blocked,
    Claimed,
    Gathered,
    Patched,
    Resolved,
    Started,
    StepDone,
    StepTried,
    Validated,
)
from tidemill.core.state import RunState, Tail, Taken, taken_by

Done = TypeVar("Done")
Heard = TypeVar("Heard")


class _Snapshot(msgspec.Struct, Generic[Done, Heard], frozen=True, array_like=True):
    seq: int
    started: Started
    first_claim: Claimed | None
    done: Done  # one record a step: nearly all of a long run's snapshot
    tried: list[StepTried]
    blocked: list[Blocked]
    resolved: list[Resolved]
    taken: list[tuple[str, str]]  # in older snapshots: the same as `resolved`
    failed: AttemptFailed | None
    completion_order: Heard
    timer: int = 0
    admitted: Admitted | None = None
    gathered: list[Gathered] = []
    begun: dict[str, int] = {}
    takers: dict[str, int] = {}  # the numbers of the records by which events were taken, by step
    validated: Validated | None = None
    patched: list[Patched] = []


Whole = _Snapshot[list[StepDone], list[str]]
Outline = _Snapshot[msgspec.Raw, msgspec.Raw]
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Whole] = msgspec.msgpack.Decoder(Whole)
_outlines: msgspec.msgpack.Decoder[Outline] = msgspec.msgpack.Decoder(Outline)


def encode(state: RunState) -> bytes:
    """Encode the state of an open run, without its claim."""
    return _encoder.encode(
        _Snapshot(
            state.seq,
            state.birth,
            state.first_claim,
            list(state.done.values()),
            list(state.tried.values()),
            list(state.blocked.values()),
            list(state.resolved.values()),
            [],
            state.failed,
            list(state.completion_order),
            state.timer,
            state.admitted,
            state.gathered,
            state.begun,
            {taken.key: taken.seq for several in state.taken.values() for taken in several},
            state.validated,
            list(state.patched.values()),
        )
    )


def decode(data: bytes) -> RunState:
    """The state without a claim: the records after the snapshot decide that."""
    found = _decoder.decode(data)
    return RunState(
        seq=found.seq,
        started=found.started,
        first_claim=found.first_claim,
        done={record.key: record for record in found.done},
        tried={record.key: record for record in found.tried},
        blocked={blocked.key: blocked for blocked in found.blocked},
        resolved={record.key: record for record in found.resolved},
        taken=_taken(found),
        failed=found.failed,
        completion_order={key: number for number, key in enumerate(found.completion_order)},
        admitted=found.admitted,
        gathered=found.gathered,
        timer=found.timer,
        begun=found.begun,
        validated=found.validated,
        patched={record.id: record for record in found.patched},
    )


def outline(data: bytes) -> Tail:
    """The state without the steps that are done: enough to resolve a wait of a suspended run."""
    found = _outlines.decode(data)
    return Tail(
        seq=found.seq,
        blocked={blocked.key: blocked for blocked in found.blocked},
        resolved={record.key: record for record in found.resolved},
        taken=_taken(found),
    )


def _taken(found: _Snapshot[Any, Any]) -> dict[str, list[Taken]]:
    taken: dict[str, list[Taken]] = {}
    for record in found.resolved:
        if record.event is not None:
            seq = found.takers.get(record.key, -1)
            taken.setdefault(record.wait, []).append(taken_by(record, record.event, seq))
    return taken
