"""A small HTTP/1.1 client for signed requests, with kept-alive connections that one thread uses at a time.

It supports the part of HTTP that AWS's services use: a body of a known length, in chunks, or up to the end.
`http.client` supports all of HTTP; its e-mail parser takes a fifth of the layer's import and a third of a call.

AWS closes a connection that was idle for a while, and a Lambda may have slept for minutes since its last call: before
a connection is used again, the client checks whether the other side has closed it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from tidemill.limits import KIB

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS = 3.0
_LINE = 64 * KIB
_LINES = 200  # headers, or trailers
_TOGETHER = 64 * KIB  # a body up to this size is sent in one piece with the head


class Request(NamedTuple):
    """One signed call. `operation` is for metrics: "PutItem"; for a REST call its method."""

    service: str
    operation: str
    method: str
    secure: bool
    host: str
    target: str  # path and query as on the request line
    headers: dict[str, str]
    body: bytes
    timeout: float  # seconds to wait for the answer


class Reply(NamedTuple):
    """An answer. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


Transport = Callable[[Request], Reply]  # raises OSError (TimeoutError, ConnectionError) if there is no answer


class HttpTransport:
    """Kept-alive HTTP/1.1. Safe to use from several threads. `tls`: a context instead of the system's."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._idle: dict[tuple[bool, str], list[_Connection]] = {}
        self._tls = tls

    def __call__(self, request: Request) -> Reply:
        connection = self._kept(request) or self._made(request)
        try:
            connection.sock.settimeout(request.timeout)
            connection.send(request)
            reply = connection.receive(request.method)
        except (ValueError, IndexError) as error:
            connection.close()
            raise ConnectionError(f"{request.host} answered with what is no HTTP: {error}") from error
        except BaseException:
            connection.close()
            raise
        if connection.last:
            connection.close()
        else:
            self._idle.setdefault((request.secure, request.host), []).append(connection)
        return reply

    def close(self) -> None:
        """Close the idle connections."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def _kept(self, request: Request) -> _Connection | None:
        idle = self._idle.get((request.secure, request.host), [])
        while idle:
            try:
                kept = idle.pop()
            except IndexError:  # another thread took the last one
                return None
            if kept.alive():
                return kept
            kept.close()
        return None

    def _made(self, request: Request) -> _Connection:
        where = urlsplit(f"//{request.host}")
        host, port = where.hostname or "", where.port or (443 if request.secure else 80)
        sock = socket.create_connection((host, port), CONNECT_SECONDS)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Connection(self._context().wrap_socket(sock, server_hostname=host) if request.secure else sock)
        except BaseException:
            sock.close()
            raise

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return self._tls


class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.last = False  # the server takes no further request on this connection
        self._file: BinaryIO = sock.makefile("rb")

    def send(self, request: Request) -> None:
        lines = [f"{request.method} {request.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        lines += [f"content-length: {len(request.body)}", "", ""]
        text = "\r\n".join(lines)
        if text.count("\n") >= len(lines) or text.count("\r") >= len(lines):
            raise ValueError("a header of the request holds a line break")
        head = text.encode("latin-1")
        if len(request.body) <= _TOGETHER:
            self.sock.sendall(head + request.body)
        else:
            self.sock.sendall(head)
            self.sock.sendall(request.body)

    def receive(self, method: str) -> Reply:
        while True:
            first = self._line()
            if not first.startswith("HTTP/1."):
                raise ValueError(f"the first line is {first[:40]!r}")
            status = int(first[9:12])
            headers = self._headers()
            if status >= 200:  # a status below only says that an answer will follow
                break
        self.last = headers.get("connection", "").lower() == "close" or first.startswith("HTTP/1.0")
        return Reply(status, headers, self._body(method, status, headers))

    def alive(self) -> bool:
        """Whether the idle connection is still open: data or an end on it means that it is not usable."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._file.close()
        self.sock.close()

    def _body(self, method: str, status: int, headers: dict[str, str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        self.last = True
        return self._file.read()

    def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(self._line().partition(";")[0], 16):
            parts.append(self._exactly(size))
            self._line()
        self._headers()
        return b"".join(parts)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_LINES):
            line = self._line()
            if not line:
                return headers
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        raise ValueError("there are too many headers")

    def _line(self) -> str:
        line = self._file.readline(_LINE)
        if not line:
            raise ConnectionError("the connection was closed before the answer was whole")
        if not line.endswith(b"\n"):
            raise ValueError("a line is too long")
        return line.rstrip(b"\r\n").decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the connection was closed before the answer was whole")
        return data
