"""HTTP/1.1 for the dev server: requests become API Gateway payloads (format 2.0), answers become bytes.

One connection is one `Connection`; httptools parses. What is built here is what a server on a developer's machine
needs and no more: keep-alive, pipelining, chunked bodies, `Expect: 100-continue`, HEAD; bounds on headers, bodies
and patience. Answers are held until what they speak of is committed (see `tick`), and leave in order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools

from tidemill.limits import REQUEST_BYTES
from tidemill_local.payload import Answer, problem, request_payload
from tidemill_local.tick import Tick

HEADER_BYTES = 64 * 1024
PATIENCE = 30.0  # seconds for a whole request to come in
IDLE = 300.0  # seconds between two requests on a connection
SHARE = 0.005  # seconds of a turn of the loop that go to requests
LINGER = 1.0  # seconds for a refused sender to read its answer

_buffer = bytearray(256 * 1024)  # of all connections: what is read is parsed at once
_window = memoryview(_buffer)

Handle = Callable[[dict[str, Any]], Answer]


class Door:
    """What all connections share: who answers, which hosts are let in, who is connected.

    Requests take at most `SHARE` of one turn of the loop, and what has come in besides waits for the next: else
    eight senders of a hundred events each would keep every function waiting until the last event is in.
    """

    def __init__(self, handle: Handle, tick: Tick, hosts: frozenset[bytes] | None) -> None:
        """`hosts`: the values of the Host header that are let in; None: any."""
        self.tick = tick
        self.hosts = hosts
        self.names = frozenset(host.rpartition(b":")[0] for host in hosts or ())  # some clients leave the port out
        self.origins = frozenset(b"http://" + host for host in hosts or ())
        self.connections: set[Connection] = set()
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._spent = 0.0
        self._waiting: deque[Connection] = deque()

    def handle(self, request: dict[str, Any]) -> Answer:
        begun = self._loop.time()
        try:
            return self._handle(request)
        finally:
            self._spent += self._loop.time() - begun

    @property
    def full(self) -> bool:
        """Whether this turn has had its share of requests."""
        return self._spent > SHARE

    def wait(self, connection: Connection) -> None:
        self._waiting.append(connection)

    def turned(self) -> None:
        """A turn of the loop is over; who waits is served in the next."""
        self._spent = 0.0
        if self._waiting:
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        while self._waiting and not self.full:
            self._waiting.popleft().go_on()

    def refusal(self, headers: dict[bytes, bytes]) -> str | None:
        """Why a request is not let in: a page elsewhere in the browser must not reach this server by any name."""
        if self.hosts is None:
            return None
        host = headers.get(b"host", b"").lower()
        if host not in self.hosts and host not in self.names:
            return "this server answers on localhost only; use its own address, or start it with --host"
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self.origins:
            return "pages of another origin may not call this server; call it from your own backend"
        return None


class Connection(asyncio.BufferedProtocol):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._pending: list[bytes] = []
        self._closing = False
        self._kept = b""
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._in_head = True
        self._refused: Answer | None = None

    # --- the connection --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = str((transport.get_extra_info("peername") or ("127.0.0.1",))[0])
        self._door.connections.add(self)
        self._deadline = self._loop.time() + PATIENCE
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closing = True
        self._timer.cancel()
        self._door.connections.discard(self)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return  # it was refused, and is still sending
        if self._door.full:
            self._kept = bytes(_window[:nbytes])
            self._transport.pause_reading()
            self._door.wait(self)
        else:
            self._received(_window[:nbytes])

    def go_on(self) -> None:
        """Take up what had to wait."""
        kept, self._kept = self._kept, b""
        if not self._closing:
            self._transport.resume_reading()
            self._received(memoryview(kept))

    def _received(self, data: memoryview) -> None:
        if self._in_head and not self._head_bytes:
            self._deadline = self._loop.time() + PATIENCE
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # answered like any other; what follows is no HTTP
        except httptools.HttpParserError:
            self._last(problem(400, "this is not a well-formed HTTP/1.1 request"))
        else:
            if self._refused is not None:
                self._last(self._refused)
            elif self._in_head and self._head_bytes > HEADER_BYTES:
                self._last(problem(431, f"the request's headers exceed {HEADER_BYTES} bytes"))

    def eof_received(self) -> bool:
        return bool(self._pending)  # answer what was asked, then close

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._closing and not self._kept:
            self._transport.resume_reading()

    def _expire(self) -> None:
        late = self._loop.time() - self._deadline
        if late < 0 or self._pending or self._kept:
            self._timer = self._loop.call_at(max(self._deadline, self._loop.time() + 1), self._expire)
        elif self._closing or (self._in_head and not self._head_bytes):
            self._transport.abort() if self._closing else self._transport.close()
        else:
            self._last(problem(408, f"the request did not come in within {PATIENCE:.0f} seconds"))

    # --- one request, as httptools tells it ------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._headers:
            if name == b"host":
                self._refused = problem(400, "the request has two Host headers")
            value = self._headers[name] + b"," + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        headers = self._headers
        length = headers.get(b"content-length", b"0")
        if self._refused is not None:
            return
        if b"host" not in headers and self._parser.get_http_version() != "1.0":
            self._refused = problem(400, "the request has no Host header")
        elif length.isdigit() and int(length) > REQUEST_BYTES:
            self._refused = _too_large()
        elif headers.get(b"expect", b"").lower() == b"100-continue" and not self._pending:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > REQUEST_BYTES:
            self._refused = self._refused or _too_large()
            self._body.clear()
        elif self._refused is None:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused is not None or self._closing:
            return
        method = self._parser.get_method()
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()  # which is ignored
        refusal = self._door.refusal(self._headers)
        if refusal is not None:
            answer = problem(403, refusal)
        else:
            request = request_payload(method, self._target, self._headers, b"".join(self._body), self._peer)
            answer = self._door.handle(request)
        self._reset()
        self._deadline = self._loop.time() + IDLE
        self._pending.append(answer.encode(head=method == b"HEAD", close=not keep))
        self._closing = not keep
        self._door.tick.hold(self)

    # --- answers ---------------------------------------------------------------------------------------

    def _last(self, answer: Answer) -> None:
        """Refuse what is coming in: nothing after it can be understood."""
        if not self._closing:
            self._pending.append(answer.encode(head=False, close=True))
            self._closing = True
            self._door.tick.hold(self)

    def flush(self) -> None:
        self._transport.write(b"".join(self._pending) if len(self._pending) > 1 else self._pending[0])
        self._pending.clear()
        if self._closing:
            self._linger()

    def refuse(self, reason: str) -> None:
        answer = problem(503, reason)
        self._pending = [answer.encode(head=False, close=self._closing) for _ in self._pending]
        self.flush()

    def _linger(self) -> None:
        """Close for good only when the other side has had time to read the answer: a reset would swallow it."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        self._deadline = self._loop.time() + LINGER
        self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def stop(self) -> None:
        """The server stops: close when what is held has been answered."""
        if self._pending:
            self._closing = True
        else:
            self._transport.close()


def _too_large() -> Answer:
    return problem(413, f"the body exceeds {REQUEST_BYTES} bytes (4 MiB); send the events in several requests")
