"""HTTP/1.1 for the dev server: requests become API Gateway payloads (format 2.0), answers become bytes.

One connection is one `Connection`; `request` reads one request at a time. The server has what a developer's machine
needs: keep-alive, pipelining, chunked bodies, `Expect: 100-continue`, HEAD; limits on headers, bodies, answers and
waiting. Answers are held until their writes are committed (see `tick`), and sent in order.

*No connection starves the others.* Parsing and answering together take `SHARE` of one turn of the loop. A long
call is a generator (`Work`) and continues in the next turn. A connection with `OWED_BYTES` of unsent answers, or one
that does not read its answers, is read no further.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator
from typing import Any, cast

from tidemill_local.http.door import Door, refusal_of
from tidemill_local.http.payload import Answer, problem, request_payload
from tidemill_local.http.request import Received, RequestReader

PATIENCE = 30.0  # seconds for a whole request to arrive, and for a slow reader to take some of its answer
IDLE = 300.0  # seconds between two requests on a connection
LINGER = 1.0  # seconds for a refused sender to read its answer
OWED_BYTES = 64 * 1024

_buffer = bytearray(256 * 1024)  # shared by all connections: the bytes are copied out at once
_window = memoryview(_buffer)

Work = Generator[None, None, Answer]
Handle = Callable[[dict[str, Any]], Work]


class Connection(asyncio.BufferedProtocol):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._request: Received | None = None
        self._work: Work | None = None  # the current call
        self._pending: list[bytes] = []
        self._owed = 0
        self._unread = 0  # bytes that the client had not taken at the last check
        self._more = False  # work is pending
        self._closing = False
        self._ended = False  # the client sends no more
        self._lost = False
        self._blocked = False  # the client does not read its answers

    # --- the connection --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._peer = str((transport.get_extra_info("peername") or ("127.0.0.1",))[0])
        self._deadline = self._loop.time() + PATIENCE
        self._timer = self._loop.call_at(self._deadline, self._expire)
        self._door.entered(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closing = self._lost = True
        self._timer.cancel()
        self._door.left(self)
        if self._work is not None and self._request is not None and self._request.method in (b"GET", b"HEAD"):
            self._work.close()  # a call that writes is finished even without a client
            self._work = None

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return self._work is not None

    @property
    def idle(self) -> bool:
        """Whether closing the connection would lose nothing."""
        return not (self._closing or self._work or self._pending or self._blocked or self._reader.begun)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return  # the client was refused, and is still sending
        if not (self._reader.begun or self._work):
            self._deadline = self._loop.time() + PATIENCE
        self._reader.feed(bytes(_window[:nbytes]))
        if self._door.spent:
            self._rest(more=True)
        else:
            self.go_on()

    def go_on(self) -> None:
        """Parse and answer, at least one step, until nothing is left or it is the other connections' turn."""
        self._door.begin()
        try:
            more = True
            while more and not (self._blocked or self._owed > OWED_BYTES):
                more = self._step()
                if self._door.full:
                    break
        finally:
            self._door.end()
        self._rest(more=more)

    def _rest(self, *, more: bool) -> None:
        self._more = more
        if more and not self._lost:
            self._transport.pause_reading()
        elif not (self._blocked or self._closing):
            self._transport.resume_reading()
        if more and (self._lost or not self._blocked):
            self._door.wait(self)

    def _step(self) -> bool:
        """Do one part of the pending work; return whether there is more."""
        if self._work is not None:
            self._answer(self._work)
            return True
        if self._closing:
            return False
        found = self._reader.advance()
        if isinstance(found, Received):
            self._begin(found)
        elif isinstance(found, Answer):
            self._last(found)
        elif self._reader.continues and not self._pending:
            self._reader.continues = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return found is not False

    def eof_received(self) -> bool:
        self._ended = True
        return bool(self._pending or self._more)  # answer the pending requests, then close

    def pause_writing(self) -> None:
        self._blocked = True
        self._unread = self._transport.get_write_buffer_size()
        self._deadline = self._loop.time() + PATIENCE
        self._transport.pause_reading()
        self._door.blocked(self, self._unread)

    def resume_writing(self) -> None:
        self._blocked = False
        self._deadline = self._loop.time() + (LINGER if self._closing else IDLE)
        self._door.unblocked(self)
        self._door.wait(self)

    def _expire(self) -> None:
        """Check the timeout: moving a timer at each request would cost more than checking again."""
        now = self._loop.time()
        if self._blocked and now >= self._deadline:
            unread = self._transport.get_write_buffer_size()
            if unread >= self._unread:
                return self._transport.abort()
            self._unread, self._deadline = unread, now + PATIENCE
        if now < self._deadline or self._pending or self._more or self._blocked:
            self._timer = self._loop.call_at(max(self._deadline, now + 1), self._expire)
        elif self._closing:
            self._transport.abort()
        elif self._reader.begun:
            self._timer = self._loop.call_at(now + 1, self._expire)
            self._last(problem(408, f"the request did not come in within {PATIENCE:.0f} seconds"))
        else:
            self._transport.close()
        return None

    # --- one request -----------------------------------------------------------------------------------

    def _begin(self, request: Received) -> None:
        self._request = request
        refusal = refusal_of(request.headers, self._door.hosts)
        if refusal is not None:
            return self._owe(problem(403, refusal))
        payload = request_payload(request.method, request.target, request.headers, request.body, self._peer)
        self._work = self._door.handle(payload)
        return self._answer(self._work)

    def _answer(self, work: Work) -> None:
        """Do a part of the call; its writes are committed with this turn, or the call fails."""
        self._door.tick.hold(self)
        try:
            next(work)
        except StopIteration as end:
            self._owe(cast("Answer", end.value))

    def _owe(self, answer: Answer) -> None:
        request, self._request, self._work = self._request, None, None
        assert request is not None
        keep = request.keep and not self._closing
        data = answer.encode(head=request.method == b"HEAD", close=not keep)
        self._pending.append(data)
        self._owed += len(data)
        self._closing = not keep
        self._deadline = self._loop.time() + IDLE
        self._door.tick.hold(self)

    # --- answers ---------------------------------------------------------------------------------------

    def _last(self, answer: Answer) -> None:
        """Refuse the request: the bytes after it cannot be parsed."""
        if not self._closing:
            self._pending.append(answer.encode(head=False, close=True))
            self._closing = True
            self._door.tick.hold(self)

    def flush(self) -> None:
        if self._pending and not self._lost:
            self._transport.write(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
        self._pending.clear()
        self._owed = 0
        if self._work is not None or self._lost:
            return
        if self._closing or (self._ended and not self._more):
            self._linger()

    def refuse(self, reason: str) -> None:
        """The writes of this turn were lost, also those of a call in progress: answer with an error."""
        if self._work is not None:
            self._work.close()
            self._owe(problem(503, reason))
        answer = problem(503, reason)
        self._pending = [answer.encode(head=False, close=self._closing) for _ in self._pending]
        self.flush()

    def _linger(self) -> None:
        """Close only after the client has had time to read the answer: a reset would discard it."""
        self._closing = True
        if self._transport.can_write_eof() and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # the client has closed already
                self._transport.write_eof()
            if not self._blocked:
                self._transport.resume_reading()  # further bytes are dropped
        self._deadline = self._loop.time() + LINGER
        self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def abort(self) -> None:
        """Close at once, even with unsent answers."""
        self._transport.abort()

    def send_away(self, reason: str) -> None:
        """Refuse the connection: there are too many."""
        self._last(problem(503, reason))

    def stop(self) -> None:
        """The server stops: close once the held answers are sent."""
        if self._pending or self._work:
            self._closing = True
        else:
            self._transport.close()
