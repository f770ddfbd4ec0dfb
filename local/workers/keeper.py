"""The `Keeper` of a worker's slot: each call is a request to the server over the slot's connection.

Two things are special. After an append that ends the slot's claim (the run is suspended, handed over or over) the
server knows that the slot is free and may send the next assignment right behind the answer; so an assignment can
come while an answer is awaited. And a lost connection is a lost claim: every call then raises ConnectionLostError,
which no code in between may handle: the server has already given the run to another slot.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tidemill import errors
from tidemill.core.journal import AttemptFailed, Cancelled, Ended, HandedOver, Record, Skipped, Suspended
from tidemill.engine.drive.host import ExecutorGone
from tidemill.model import Event, Failure, Head, HeadChange, Parent, Wait
from tidemill.ports import APPENDED, Appended, Lost
from tidemill_local.workers import wire

_READ = 16 * 1024  # bytes at a time; each slot has a buffer of its own
LEAVES = (Suspended, HandedOver, AttemptFailed, Ended, Cancelled, Skipped)  # records that end the claim

_to_slot: msgspec.msgpack.Decoder[wire.ToSlot] = msgspec.msgpack.Decoder(wire.ToSlot)
_conflict: msgspec.msgpack.Decoder[list[Record] | None] = msgspec.msgpack.Decoder(list[Record] | None)
_records: msgspec.msgpack.Decoder[list[Record]] = msgspec.msgpack.Decoder(list[Record])
_match: msgspec.msgpack.Decoder[tuple[Wait, Event] | None] = msgspec.msgpack.Decoder(tuple[Wait, Event] | None)
_flag: msgspec.msgpack.Decoder[bool] = msgspec.msgpack.Decoder(bool)
_maybe_bytes: msgspec.msgpack.Decoder[bytes | None] = msgspec.msgpack.Decoder(bytes | None)
_bytes: msgspec.msgpack.Decoder[bytes] = msgspec.msgpack.Decoder(bytes)


class ConnectionLostError(ExecutorGone):
    """The server has closed the connection of this slot: its claim is over."""


class SocketKeeper:
    def __init__(self, read_fd: int, write_fd: int) -> None:
        """`ends`: the slot's ends of its two pipes."""
        self._read_fd, self._write_fd = read_fd, write_fd
        self._frames = wire.Frames()
        self._buffer = bytearray(_READ)
        self._window = memoryview(self._buffer)
        self._received: deque[bytes] = deque()
        self._next: wire.Assign | None = None
        self._lock = threading.Lock()  # branches of a run share the connection
        self._left = True  # the server knows that this slot is free

    def close(self) -> None:
        """Close the connection. A later call of an abandoned run finds no descriptor, rather than another slot's."""
        fds = (self._read_fd, self._write_fd)
        self._read_fd = self._write_fd = -1
        for fd in fds:
            if fd >= 0:
                os.close(fd)

    def assignment(self) -> wire.Assign:
        """The next run for this slot; blocks until there is one."""
        if self._next is None and not self._left:
            self._send(wire.Ready())
        self._left = False
        while self._next is None:
            self._take(_to_slot.decode(self._receive()))
        assign, self._next = self._next, None
        return assign

    def give_up(self, failure: Failure) -> None:
        """Report that this slot ends, and why: a closed pipe is not noticed while a child process holds it open."""
        with contextlib.suppress(ConnectionLostError):
            self._send(wire.GaveUp(failure))

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        conflict = _conflict.decode(self._call(wire.Append(head.run_id, seq, list(records), change)))
        self._left = conflict is None and isinstance(records[-1], LEAVES)
        return APPENDED if conflict is None else Lost(conflict)

    def wait(self, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> tuple[Wait, Event] | None:
        return _match.decode(self._call(wire.PutWaits(list(waits), list(taken))))

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        return _flag.decode(self._call(wire.Invoke(parent, function_id, data, user)))

    def send(self, events: Sequence[Event]) -> None:
        self._call(wire.Send(list(events)))

    def map(self, head: Head, key: str, parts: Sequence[bytes]) -> None:
        self._call(wire.Map(head.run_id, key, list(parts)))

    def snapshot(self, head: Head, seq: int, data: bytes) -> None:
        self._call(wire.PutSnapshot(head.run_id, seq, data))

    def restore(self, run_id: str, seq: int) -> bytes | None:
        return _maybe_bytes.decode(self._call(wire.Restore(run_id, seq)))

    def ended(self, head: Head, maps: Mapping[str, int]) -> None:
        self._call(wire.WasEnded(head.run_id, dict(maps)))

    def chunks(self, run_id: str, key: str, count: int) -> list[Record]:
        return _records.decode(self._call(wire.Chunks(run_id, key, count)))

    def journal(self, run_id: str, after: int = -1) -> list[Record]:
        return _records.decode(self._call(wire.Journal(run_id, after)))

    def _call(self, call: wire.Call) -> msgspec.Raw:
        with self._lock:
            self._send(call)
            while True:
                message = _to_slot.decode(self._receive())
                if isinstance(message, wire.Answer):
                    return message.value
                if isinstance(message, wire.Raised):
                    raise _error(message)
                self._take(message)

    def _take(self, message: wire.ToSlot) -> None:
        if isinstance(message, wire.Assign):
            self._next = message

    def _send(self, message: wire.FromSlot) -> None:
        try:
            wire.write_all(self._write_fd, wire.frame(message))
        except OSError as error:
            raise ConnectionLostError from error

    def _receive(self) -> bytes:
        while not self._received:
            try:
                count = os.readv(self._read_fd, [self._buffer])
            except OSError as error:
                raise ConnectionLostError from error
            if not count:
                raise ConnectionLostError
            self._received.extend(self._frames.feed(self._window[:count]))
        return self._received.popleft()


def _error(raised: wire.Raised) -> Exception:
    """The error with its own class if that is Tidemill's or a built-in one."""
    kind: Any = getattr(errors, raised.error, None) or _BUILT_IN.get(raised.error)
    return kind(raised.message) if kind else RuntimeError(f"{raised.error}: {raised.message}")


_BUILT_IN: dict[str, type[Exception]] = {"LookupError": LookupError, "KeyError": KeyError, "ValueError": ValueError}
