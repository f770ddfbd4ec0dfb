"""How a signed request travels: over connections that are kept open, each used by one thread at a time.

AWS closes a connection that was idle for a while, and a Lambda may have slept for minutes since its last call: before
a kept connection is used again it is asked whether the other side has closed it.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS = 3.0


class Request(NamedTuple):
    """One call, signed. `operation` is for whoever counts: "PutItem"; of a REST call its method."""

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


Transport = Callable[[Request], Reply]  # raises OSError (TimeoutError, ConnectionError) where there is no answer


class HttpTransport:
    """Kept-alive HTTP/1.1. Safe to use from several threads."""

    def __init__(self) -> None:
        self._idle: dict[tuple[bool, str], list[HTTPConnection]] = {}
        self._tls: ssl.SSLContext | None = None

    def __call__(self, request: Request) -> Reply:
        connection = self._connection(request)
        try:
            # http.client would send an empty body's length for some methods only.
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(request.body)))
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            body = answer.read()
        except HTTPException as error:
            connection.close()
            raise ConnectionError(f"{request.host} broke off its answer: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.setdefault((request.secure, request.host), []).append(connection)
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def _connection(self, request: Request) -> HTTPConnection:
        idle = self._idle.get((request.secure, request.host), [])
        while idle:
            try:
                kept = idle.pop()
            except IndexError:  # another thread took the last one
                break
            if _alive(kept):
                kept.sock.settimeout(request.timeout)
                return kept
            kept.close()
        made = self._made(request)
        made.connect()
        made.sock.settimeout(request.timeout)
        return made

    def _made(self, request: Request) -> HTTPConnection:
        if not request.secure:
            return HTTPConnection(request.host, timeout=CONNECT_SECONDS)
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return HTTPSConnection(request.host, timeout=CONNECT_SECONDS, context=self._tls)


def _alive(connection: HTTPConnection) -> bool:
    """Nothing may come on an idle connection but its end."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
