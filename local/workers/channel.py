"""One end of a connection on the server's loop: frames in, frames out, never blocking."""

from __future__ import annotations

import contextlib
import os
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence

from tidemill_local.workers.wire import Frames

_buffer = bytearray(
    256 * 1024
)  # shared by all channels: bytes are copied out at once, and `recv` would allocate it each time
_window = memoryview(_buffer)


class Channel:
    def __init__(
        self,
        loop: AbstractEventLoop,
        ends: socket.socket | tuple[int, int],
        received: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        """`ends`: a socket, or the ends of two pipes to read from and to write to; the channel closes them.

        `received` is called with each message's bytes, `lost` once when the other side has closed.
        """
        self._loop = loop
        self._ends = ends
        self._read_fd, self._write_fd = ends if isinstance(ends, tuple) else (ends.fileno(), ends.fileno())
        self._received, self._lost = received, lost
        self._frames = Frames()
        self._backlog = bytearray()
        self.open = True
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        loop.add_reader(self._read_fd, self.read)

    def send(self, data: bytes | bytearray) -> None:
        if not self.open:
            return
        if self._backlog:
            self._backlog += data
            return
        try:
            sent = os.write(self._write_fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # closed: the reader reports it
        if sent < len(data):
            self._backlog += memoryview(data)[sent:]
            self._loop.add_writer(self._write_fd, self._write)

    def send_fds(self, data: bytes | bytearray, fds: Sequence[int]) -> None:
        """Over a socket: send a small message with these descriptors, which this side then closes."""
        assert isinstance(self._ends, socket.socket)
        with contextlib.suppress(OSError):
            socket.send_fds(self._ends, [data], fds)
        for fd in fds:
            os.close(fd)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._loop.remove_reader(self._read_fd)
            self._loop.remove_writer(self._write_fd)
            if isinstance(self._ends, socket.socket):
                self._ends.close()
            else:
                os.close(self._read_fd)
                os.close(self._write_fd)

    def read(self) -> None:
        """Read the available bytes, if any."""
        if not self.open:
            return
        try:
            count = os.readv(self._read_fd, [_buffer])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            self._lost()
            return
        try:
            for message in self._frames.feed(_window[:count]):
                if self.open:
                    self._received(message)
        except Exception as error:  # requests can no longer be answered: close rather than hang
            self._loop.call_exception_handler({"message": "a message cannot be taken", "exception": error})
            if self.open:
                self.close()
                self._lost()

    def _write(self) -> None:
        try:
            sent = os.write(self._write_fd, self._backlog)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = len(self._backlog)
        del self._backlog[:sent]
        if not self._backlog:
            self._loop.remove_writer(self._write_fd)
