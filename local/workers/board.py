"""Shared memory of the server and one worker: the current time, and the executing steps.

A worker notes each step when it begins and deletes the note when the step's code has really ended, even if its run has
given it up. That costs a memory write. The server reads the notes on request, once a second for steps that hang, and
when the worker has died: the memory outlives the process.
"""

from __future__ import annotations

import mmap
import os
import resource
import struct
import sys
import threading
from collections import deque
from collections.abc import Iterator

import msgspec

from tidemill.model import AtWork

SIZE = 2_048  # bytes of a note: a key has at most 256 characters and the scopes of its branches
NOTES = 16_384  # shown steps of one worker at once; others are not shown. Memory is allocated on use
_OFFSET = struct.Struct("=q")  # of the platform's time, in nanoseconds: at the start
_USED = struct.Struct("=I")  # how many notes have ever been used: after it
_LENGTH = struct.Struct("=H")  # of a note; 0: the note is free


_decoder: msgspec.msgpack.Decoder[AtWork] = msgspec.msgpack.Decoder(AtWork)
_encoder = msgspec.msgpack.Encoder()


class Board:
    def __init__(self, fd: int) -> None:
        """The caller still owns `fd`."""
        size = os.fstat(fd).st_size
        self._memory = mmap.mmap(fd, size)
        self._most = size // SIZE - 1
        self._free: deque[int] = deque()
        self._lock = threading.Lock()
        self._used = 0

    @property
    def offset(self) -> int:
        found: int = _OFFSET.unpack_from(self._memory)[0]
        return found

    @offset.setter
    def offset(self, value: int) -> None:
        _OFFSET.pack_into(self._memory, 0, value)

    # --- the worker's side -----------------------------------------------------------------------------

    def begin(self, run_id: str, key: str, attempt: int, since: int, timeout: int | None) -> int | None:
        """Note a step; returns the argument for `end`."""
        data = _encoder.encode(AtWork(run_id, key, attempt, since, timeout))
        number = self._number() if len(data) <= SIZE - _LENGTH.size else None
        if number is not None:
            start = SIZE * number
            self._memory[start + _LENGTH.size : start + _LENGTH.size + len(data)] = data
            _LENGTH.pack_into(self._memory, start, len(data))
        return number

    def end(self, number: int | None) -> None:
        if number is not None:
            _LENGTH.pack_into(self._memory, SIZE * number, 0)
            self._free.append(number)

    def _number(self) -> int | None:
        try:
            return self._free.pop()
        except IndexError:
            pass
        with self._lock:
            if self._used >= self._most:
                return None
            self._used += 1
            _USED.pack_into(self._memory, _OFFSET.size, self._used)
            return self._used

    # --- the server's side -----------------------------------------------------------------------------

    def at_work(self) -> Iterator[AtWork]:
        for number in range(1, _USED.unpack_from(self._memory, _OFFSET.size)[0] + 1):
            start = SIZE * number
            length = _LENGTH.unpack_from(self._memory, start)[0]
            if length:
                try:
                    yield _decoder.decode(self._memory[start + _LENGTH.size : start + _LENGTH.size + length])
                except msgspec.MsgspecError:
                    continue  # the note is being written

    def close(self) -> None:
        self._memory.close()


def create() -> int:
    """A descriptor of memory for a board; it has no name, so nothing is left behind."""
    if sys.platform == "linux":
        fd = os.memfd_create("tidemill")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    size, limit = SIZE * (NOTES + 1), resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    os.ftruncate(fd, size if limit == resource.RLIM_INFINITY else min(size, limit))
    return fd
