"""The part of HTTP that Lambda's runtime client uses: requests with a length, on kept-alive connections."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import NamedTuple

from tidemill.limits import KIB
from tidemill.runtimes.output import PAYLOAD_BYTES

_PATIENCE = 10.0  # seconds for the process to take an answer
_CHUNK = 64 * KIB
_HEAD = 64 * KIB


class LambdaExitedError(Exception):
    """The process ended without an answer. `asked`: it had received the event."""

    def __init__(self, asked: bool) -> None:
        self.asked = asked
        super().__init__("exited")


class AnswerTooLargeError(Exception):
    """The answer is larger than Lambda allows."""


class Request(NamedTuple):
    method: str
    path: str
    body: bytes


class Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._data = bytearray()

    def receive(self) -> bool:
        """False: the process has ended."""
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._data += data
        return bool(data)

    def request(self) -> Request | None:
        """A complete request."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > _HEAD:
                raise LambdaExitedError(asked=True)  # the process is not a runtime client
            return None
        first, *lines = bytes(self._data[:end]).decode("latin-1").split("\r\n")
        length = 0
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
            elif name.lower() == "expect" and len(self._data) == end + 4:
                self._send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length > PAYLOAD_BYTES:
            raise AnswerTooLargeError
        whole = end + 4 + length
        if len(self._data) < whole:
            return None
        body = bytes(self._data[end + 4 : whole])
        del self._data[:whole]
        method, path, _ = first.split(" ", 2)
        return Request(method, path, body)

    def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} OK", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._send("\r\n".join([*lines, "", ""]).encode() + body)

    def _send(self, data: bytes) -> None:
        self.sock.settimeout(_PATIENCE)
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise LambdaExitedError(asked=True) from error
        finally:
            self.sock.setblocking(False)
