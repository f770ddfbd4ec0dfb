"""A socket with one deadline for a whole exchange: an ordinary timeout starts again with every byte received."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any


class TimedSocket:
    """A socket that stops at the deadline, however often it is read. It has the methods that http.client uses."""

    def __init__(self, sock: socket.socket, deadline: float, monotonic: Callable[[], float]) -> None:
        self.sock = sock
        self._deadline = deadline
        self._monotonic = monotonic

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(self.left())
        self.sock.sendall(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Does nothing: the answer is still to be read, and the runtime closes the connection."""

    def left(self) -> float:
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        return left


class _Reader(io.RawIOBase):
    def __init__(self, timed: TimedSocket) -> None:
        self._timed = timed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._timed.sock.settimeout(self._timed.left())
        return self._timed.sock.recv_into(buffer)
