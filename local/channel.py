"""One end of a socket pair on the server's loop: frames in, frames out, never blocking."""

from __future__ import annotations

import contextlib
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable

from tidemill_local.wire import Frames

_buffer = bytearray(256 * 1024)  # of all channels: what is read is taken out at once, and `recv` would make it anew
_window = memoryview(_buffer)


class Channel:
    def __init__(
        self,
        loop: AbstractEventLoop,
        connection: socket.socket,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        """`received` is called with each message's bytes, `lost` once when the other side has gone."""
        self._loop = loop
        self._socket = connection
        self._received, self._lost = received, lost
        self._frames = Frames()
        self._backlog = bytearray()
        self.open = True
        connection.setblocking(False)
        loop.add_reader(connection, self._read)

    def send(self, data: bytes | bytearray) -> None:
        if not self.open:
            return
        if self._backlog:
            self._backlog += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # gone: the reader is told so
        if sent < len(data):
            self._backlog += memoryview(data)[sent:]
            self._loop.add_writer(self._socket, self._write)

    def send_sockets(self, data: bytes | bytearray, sockets: list[socket.socket]) -> None:
        """Send a small message with these sockets, which are then the other side's only."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._socket, [data], [one.fileno() for one in sockets])
        for one in sockets:
            one.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()

    def _read(self) -> None:
        try:
            count = self._socket.recv_into(_buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if not count:
            self.close()
            self._lost()
            return
        for message in self._frames.feed(_window[:count]):
            if self.open:
                self._received(message)

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._backlog)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = len(self._backlog)
        del self._backlog[:sent]
        if not self._backlog:
            self._loop.remove_writer(self._socket)
