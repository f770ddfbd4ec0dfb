"""The server's view of a slot: a connection to a thread of a worker, and its current run.

A slot's request is carried out at once, on the stores; the answer is held until the commit. When an append ends the
slot's claim the slot is free, and the next run may be sent with the answer.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from tidemill.core.journal import Record
from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.model import AtWork, Failure, Head
from tidemill.ports import Lost
from tidemill_local.server.tick import Tick
from tidemill_local.store.errors import StoreError
from tidemill_local.workers import wire
from tidemill_local.workers.channel import Channel
from tidemill_local.workers.keeper import LEAVES

if TYPE_CHECKING:
    from tidemill_local.workers.pool import Worker

_NOTHING = wire.frame(wire.Answer(wire.raw(None)))  # the answer to nearly every call

_from_slot: msgspec.msgpack.Decoder[wire.FromSlot] = msgspec.msgpack.Decoder(wire.FromSlot)


class Owner(Protocol):
    """The owner of slots, which assigns their work."""

    def heard(self, slot: Slot) -> None:
        """The slot has sent a request: its run has begun."""
        ...

    def free(self, slot: Slot) -> None:
        """The slot is idle. `slot.run`: it has stopped without leaving this run."""
        ...

    def lost(self, slot: Slot) -> None:
        """The slot's connection is gone, and with it the claim on `slot.run`, if it had one."""
        ...

    def appended(self, slot: Slot, records: Sequence[Record]) -> None: ...

    def gave_up(self, slot: Slot, failure: Failure) -> None:
        """The slot ends without having left its run."""
        ...


class Slot:
    def __init__(
        self,
        loop: AbstractEventLoop,
        pipes: tuple[int, int],
        worker: Worker,
        owner: Owner,
        keeper: StoreKeeper,
        tick: Tick,
    ) -> None:
        self.worker = worker
        self.run: Opened | None = None
        self.by = ""
        self.since = 0  # when it got its run
        self._owner = owner
        self._keeper = keeper
        self._tick = tick
        self._pending = bytearray()
        self._retiring = False
        self._over = False
        self._channel = Channel(loop, pipes, self._received, self._cut)

    @property
    def open(self) -> bool:
        return self._channel.open

    def serves(self, run_id: str) -> bool:
        return self.run is not None and self.run.head.run_id == run_id

    def at_work(self) -> list[AtWork]:
        """The executing steps of its run under this claim."""
        return [step for step in self.worker.board.at_work() if self.serves(step.run_id) and step.since >= self.since]

    def assign(self, opened: Opened, by: str, crash: Failure | None) -> None:
        """Push a run that has been claimed as `by`. `crash`: why its last executor died."""
        self.run, self.by = opened, by
        self._pending += wire.frame(wire.Assign(opened.head, opened.records, opened.base, crash))
        self._tick.hold(self)

    def flush(self) -> None:
        if self._pending:
            self._channel.send(self._pending)
            self._pending = bytearray()
        if self._retiring:
            self.close()

    def retire(self) -> None:
        """Close the slot after its last answer."""
        self._retiring = True
        self._tick.hold(self)

    def refuse(self, reason: str) -> None:  # noqa: ARG002  the HTTP side says it; here a closed connection does
        self.close()

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        """Drop the slot; its worker's thread ends, and its claim is over."""
        self._channel.close()
        if not self._over:
            self._over = True
            self._owner.lost(self)

    def _cut(self) -> None:
        """The connection was closed. If the slot has a run that its thread has not given up, the process is ending."""
        if self.run is None:
            self.close()

    def _received(self, message: bytes) -> None:
        call = _from_slot.decode(message)
        self._owner.heard(self)
        if isinstance(call, wire.Ready):
            self._owner.free(self)
            return
        if isinstance(call, wire.GaveUp):
            self._owner.gave_up(self, call.failure)
            return
        try:
            value = self._do(call)
            answer = _NOTHING if value is None else wire.frame(wire.Answer(wire.raw(value)))
        except StoreError as error:
            self._tick.fail(error)
            answer = _raised(error)
        except Exception as error:
            answer = _raised(error)
        self._pending += answer
        self._tick.hold(self)

    def _do(self, call: wire.Call) -> object:
        keeper = self._keeper
        match call:
            case wire.Append():
                return self._append(call)
            case wire.PutWaits(waits, taken):
                return keeper.wait(waits, taken)
            case wire.Invoke(parent, function_id, data, user):
                return keeper.invoke(parent, function_id, data, user)
            case wire.Send(events):
                keeper.send(events)
            case wire.Map(run_id, key, parts):
                keeper.map(self._head(run_id), key, parts)
            case wire.PutSnapshot(run_id, seq, data):
                keeper.snapshot(self._head(run_id), seq, data)
            case wire.Restore(run_id, seq):
                return keeper.restore(run_id, seq)
            case wire.WasEnded(run_id, maps):
                if self.run is not None and self.run.head.run_id == run_id:  # otherwise this slot ended it
                    keeper.ended(self.run.head, maps)
            case wire.Chunks(run_id, key, count):
                return keeper.chunks(run_id, key, count)
            case wire.Journal(run_id, after):
                return keeper.journal(run_id, after)
        return None

    def _append(self, call: wire.Append) -> list[Record] | None:
        found = self._keeper.append(self._head(call.run_id), call.seq, call.records, call.change)
        last = call.records[-1]
        if isinstance(found, Lost):
            return found.found
        self._owner.appended(self, call.records)
        if isinstance(last, LEAVES):
            self.run = None  # the execution ended without a crash
            self._owner.free(self)
        return None

    def _head(self, run_id: str) -> Head:
        if self.run is None or self.run.head.run_id != run_id:
            raise LookupError(f"this slot has left the run {run_id}")
        return self.run.head


def _raised(error: Exception) -> bytearray:
    return wire.frame(wire.Raised(type(error).__name__, str(error.args[0] if error.args else error)))
