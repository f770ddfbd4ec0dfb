"""The messages between the processes of the local world: length-prefixed msgpack over socket pairs.

    server ── zygote     Fork →                        ← Forked, Exited
    server ── worker     Grow (with the slots' ends) →  ← Loading, then Loaded or Broken; Logged
                         Drain, Ping →                  ← Pong
    server ── slot       Assign, Answer, Raised →      ← Append, … (the calls of `ports.Keeper`), Ready, GaveUp

Every connection is a socket pair, or for a slot two pipes, whose other ends travelled as file descriptors: there is no
path in the file system, so nobody else can connect, and nothing is left behind by `kill -9`.

Why pipes: a thread that waits to read from a Unix socket is woken, for nothing, each time the other side has read
what it sent before. A server that reads from 32 slots spent a fifth of its time waking them.
"""

from __future__ import annotations

import os
import struct
from typing import Any

import msgspec

from tidemill.core.journal import Record
from tidemill.model import Event, EventSchema, Failure, FunctionSpec, Head, HeadChange, Parent, Wait, WebhookSpec
from tidemill.run_logs import LogLine


class _Message(msgspec.Struct, frozen=True, array_like=True):
    pass


# --- server and zygote ---------------------------------------------------------------------------------


class Fork(_Message, frozen=True, tag=0):
    """Fork a worker that loads these targets; its end of the control connection and its board come with the message."""

    load: int  # the number of this load of user code, to tell workers apart
    targets: tuple[str, ...]
    cwd: str
    env_file: str
    env_file_required: bool
    url: str  # the server's URL, for events that the code sends
    event_key: str = ""  # the event key for that; empty: any


class Forked(_Message, frozen=True, tag=1):
    load: int
    pid: int


class Exited(_Message, frozen=True, tag=2):
    load: int
    pid: int
    status: int  # from `os.waitstatus_to_exitcode`: a negative number is the signal


# --- server and worker ---------------------------------------------------------------------------------


class Loaded(_Message, frozen=True, tag=10):
    """The user's code is imported: its declarations, and its source files. `places`: steps' folders."""

    functions: list[FunctionSpec]
    version: str
    files: list[str]
    notes: list[str]
    places: list[str] = []
    schemas: list[EventSchema] = []
    webhooks: list[WebhookSpec] = []
    secrets: dict[str, str] = {}  # by variable: only the worker reads the environment file


class Broken(_Message, frozen=True, tag=11):
    """The user's code could not be imported. `text` says why, for people; then the worker exits.

    `spots`: folders in which something may be missing.
    """

    text: str
    files: list[str]
    spots: list[str] = []


class Loading(_Message, frozen=True, tag=16):
    """The worker imports this target now: if the process ends meanwhile, the server can name the target."""

    target: str


class Logged(_Message, frozen=True, tag=17):
    """A line that the code of a run has logged."""

    line: LogLine


class Grow(_Message, frozen=True, tag=12):
    """Start this many more slots; the message includes the reading and the writing end of each."""

    count: int


class Ping(_Message, frozen=True, tag=14):
    """Answer with Pong."""


class Pong(_Message, frozen=True, tag=15):
    pass


class Drain(_Message, frozen=True, tag=13):
    """Begin nothing new: hand each run over at its next step boundary."""


class Paused(_Message, frozen=True, tag=18):
    """These functions are paused: hand their runs over at their next step boundary."""

    functions: tuple[str, ...]


# --- server and slot -----------------------------------------------------------------------------------


class Assign(_Message, frozen=True, tag=20):
    """A run that has been claimed for this slot, with its journal so far."""

    head: Head
    records: list[Record]
    base: int  # the number of the first of `records`; earlier ones are in the snapshot
    crash: Failure | None = None  # why the previous executor died, if known


class Answer(_Message, frozen=True, tag=21):
    value: msgspec.Raw


class Raised(_Message, frozen=True, tag=22):
    """The call raised: the name of the error's class, and its message."""

    error: str
    message: str


class Append(_Message, frozen=True, tag=30):
    run_id: str
    seq: int
    records: list[Record]
    change: HeadChange | None


class PutWaits(_Message, frozen=True, tag=31):
    waits: list[Wait]
    taken: list[tuple[str, str]]


class Invoke(_Message, frozen=True, tag=32):
    parent: Parent
    function_id: str
    data: bytes
    user: dict[str, Any] | None


class Send(_Message, frozen=True, tag=33):
    events: list[Event]


class Map(_Message, frozen=True, tag=34):
    run_id: str
    key: str
    parts: list[bytes]


class Chunks(_Message, frozen=True, tag=36):
    run_id: str
    key: str
    count: int


class Journal(_Message, frozen=True, tag=37):
    run_id: str
    after: int = -1


class WasEnded(_Message, frozen=True, tag=38):
    run_id: str
    maps: dict[str, int]


class PutSnapshot(_Message, frozen=True, tag=40):
    run_id: str
    seq: int
    data: bytes


class Restore(_Message, frozen=True, tag=41):
    run_id: str
    seq: int


class Ready(_Message, frozen=True, tag=39):
    """The slot is idle. Not sent after an append that ends a claim: the server knows."""


class GaveUp(_Message, frozen=True, tag=42):
    """The slot ends without having left its run; the cause of its thread's end."""

    failure: Failure


Call = Append | PutWaits | Invoke | Send | Map | Chunks | Journal | WasEnded | PutSnapshot | Restore
FromZygote = Forked | Exited
FromWorker = Loading | Loaded | Broken | Pong | Logged
ToWorker = Grow | Drain | Ping | Paused
FromSlot = Call | Ready | GaveUp
ToSlot = Assign | Answer | Raised

# --- frames --------------------------------------------------------------------------------------------

HEADER = 4
FRAME_MOST = 2**31 - 1
_length = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()


def frame(message: Any) -> bytearray:
    """`message` as bytes with their length before them. Raises ValueError over 2 GiB."""
    buffer = bytearray(HEADER)
    _encoder.encode_into(message, buffer, HEADER)
    size = len(buffer) - HEADER
    if size > FRAME_MOST:
        raise ValueError(f"a message of {size} bytes is more than one connection may carry ({FRAME_MOST})")
    _length.pack_into(buffer, 0, size)
    return buffer


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write everything, blocking. Raises OSError when the reader has closed."""
    sent = os.write(fd, data)
    while sent < len(data):
        sent += os.write(fd, memoryview(data)[sent:])


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(value))


class Frames:
    """Cuts a stream of bytes into the messages' bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The messages that `data` completes."""
        if not self._buffer and len(data) >= HEADER and _length.unpack_from(data)[0] == len(data) - HEADER:
            return [bytes(data[HEADER:])]  # the usual case: one whole frame
        self._buffer += data
        return self._cut()

    def _cut(self) -> list[bytes]:
        buffer, start, messages = self._buffer, 0, list[bytes]()
        while len(buffer) - start >= HEADER:
            end = start + HEADER + _length.unpack_from(buffer, start)[0]
            if end > len(buffer):
                break
            messages.append(bytes(memoryview(buffer)[start + HEADER : end]))
            start = end
        if start:
            del buffer[:start]
        return messages
