"""The one lean client: raw sockets, keep-alive, requests made before the clock starts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 8


@dataclass(frozen=True)
class Batch:
    """Bytes that go out in one write: one request, or a pipeline of `answers` requests."""

    payload: bytes
    answers: int = 1


def request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    def __init__(self, port: int, timeout: float = 60) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def ask(self, batch: Batch) -> list[tuple[int, bytes]]:
        self.sock.sendall(batch.payload)
        return [self._answer() for _ in range(batch.answers)]

    def close(self) -> None:
        self.sock.close()

    def _more(self) -> None:
        chunk = self.sock.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self.buffer += chunk

    def _take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _line(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            self._more()
        return self._take(at + len(end))[: -len(end)]

    def _answer(self) -> tuple[int, bytes]:
        head = self._line(b"\r\n\r\n").lower()
        status = int(head[9:12])
        if b"transfer-encoding: chunked" not in head:
            length = head.split(b"content-length:")[1].split(b"\r\n")[0] if b"content-length:" in head else b"0"
            return status, self._take(int(length))
        body = b""
        while size := int(self._line(b"\r\n"), 16):
            body += self._take(size)
            self._take(2)
        self._take(2)
        return status, body


def ask(port: int, batch: Batch) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = Connection(port)
    try:
        return connection.ask(batch)[0]
    finally:
        connection.close()


def blast(port: int, batches: Sequence[Batch], patience: float = 0) -> int:
    """Send everything over 8 connections as fast as the server answers; the time of the first byte (ns).

    With `patience`, a batch that is refused or cut off is sent again, as it is, for so many seconds.
    """
    queue = list(reversed(batches))
    problems: list[Exception] = []
    started = time.monotonic_ns()
    threads = [
        threading.Thread(target=_pump, args=(port, queue, problems, time.monotonic() + patience))
        for _ in range(min(CONNECTIONS, len(batches)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return started


def _pump(port: int, queue: list[Batch], problems: list[Exception], until: float) -> None:
    connection: Connection | None = None
    batch: Batch | None = None
    while True:
        try:
            batch = batch or queue.pop()
            connection = connection or Connection(port, timeout=10 if until > time.monotonic() else 60)
            answers = connection.ask(batch)
            if bad := [answer for answer in answers if answer[0] >= 300]:
                raise ConnectionError(f"answered {bad[0][0]}: {bad[0][1][:300]!r}")
            batch = None
        except IndexError:
            return
        except OSError as problem:
            if connection:
                connection.close()
            connection = None
            if time.monotonic() > until:
                problems.append(problem)
                return
            time.sleep(0.02)
