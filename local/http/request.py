"""Reads a connection's requests one at a time: httptools parses, and gets no byte beyond the current request.

A sender decides how much comes in one segment: sixty requests, or a million chunks. So the reader cuts the bytes into
pieces (a head, a part of a body, a line of chunked framing), and its caller can stop after any of them. The cuts only
decide how much the parser gets at once; the parser decides what a request is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

import httptools

from tidemill.limits import REQUEST_BYTES
from tidemill_local.http.payload import Answer, problem

HEADER_BYTES = 64 * 1024  # of a head; and of all framing lines and trailers of a chunked body beside its content
HEADERS = 200  # lines of a head, and of trailers
_CHUNK_OVERHEAD = 16  # allowed bytes of framing for each byte of content

_HEAD_END = re.compile(rb"\n\r?\n")
_UPGRADE = re.compile(rb"^upgrade[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_METHOD_BEGINS = re.compile(rb"[\r\nA-Za-z]")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class _At(Enum):
    HEAD = auto()
    BODY = auto()
    CHUNK_LINE = auto()
    CHUNK = auto()
    TRAILERS = auto()


@dataclass(slots=True)
class Received:
    """A whole request."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    keep: bool  # the connection may carry another request


class RequestReader:
    """`feed` bytes, then call `advance` until it says that more are needed."""

    def __init__(self) -> None:
        self.continues = False  # the sender waits for `100 Continue` before it sends the body
        self._parser = httptools.HttpRequestParser(self)
        self._bytes = b""
        self._done = 0  # how many of `_bytes` were parsed
        self._reset()

    def _reset(self) -> None:
        self._at = _At.HEAD
        self._left = 0  # bytes of the body, or of the chunk
        self._framing = 0  # bytes of chunk lines and trailers
        self._trailers = 0
        self._searched = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._lines = 0
        self._body = bytearray()
        self._whole: Received | None = None
        self._refused: Answer | None = None

    @property
    def begun(self) -> bool:
        """Whether a part of a request has arrived."""
        return self._at is not _At.HEAD or self._done < len(self._bytes)

    @property
    def unread(self) -> int:
        return len(self._bytes) - self._done

    def feed(self, data: bytes) -> None:
        self._bytes = self._bytes[self._done :] + data if self.unread else data
        self._searched = max(0, self._searched - self._done)
        self._done = 0

    def advance(self) -> Received | Answer | bool:
        """Parse one piece. Returns a whole request; or a refusal, after which nothing can be parsed; else whether
        there is more to parse."""
        piece = self._piece()
        if piece is None:
            return self._refused or False
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return problem(405, "this server opens no tunnels; send the request to it directly")
        except httptools.HttpParserError:
            return _malformed()
        if self._refused is not None:
            return self._refused
        if self._whole is None:
            return True
        whole = self._whole
        self._reset()
        return whole

    # --- the next piece --------------------------------------------------------------------------------

    def _piece(self) -> bytes | None:
        if not self.unread:
            return None
        if self._at is _At.HEAD:
            return self._head()
        if self._at in (_At.BODY, _At.CHUNK):
            return self._content()
        return self._line()

    def _head(self) -> bytes | None:
        found = _HEAD_END.search(self._bytes, max(self._done, self._searched - 3))
        end = found.end() if found else len(self._bytes)
        if end - self._done > HEADER_BYTES:
            self._refused = problem(431, f"the request's headers exceed {HEADER_BYTES} bytes")
            return None
        if not _METHOD_BEGINS.match(self._bytes, self._done):  # TLS, for example, in which a line may never end
            self._refused = _malformed()
            return None
        if found is None:
            self._searched = end
            return None
        return _without_upgrade(self._cut(end))

    def _content(self) -> bytes:
        piece = self._cut(min(len(self._bytes), self._done + self._left))
        self._left -= len(piece)
        if not self._left and self._at is _At.CHUNK:
            self._at = _At.CHUNK_LINE
        return piece

    def _line(self) -> bytes | None:
        end = self._bytes.find(b"\n", self._done) + 1
        framing = self._framing + ((end or len(self._bytes)) - self._done)
        if framing > HEADER_BYTES + _CHUNK_OVERHEAD * len(self._body):
            self._refused = problem(431, f"the request's chunk headers and trailers exceed {HEADER_BYTES} bytes")
            return None
        if not end:
            return None
        self._framing = framing
        line = self._cut(end)
        if self._at is _At.CHUNK_LINE:
            size = _CHUNK_SIZE.match(line)
            self._left = int(size[0], 16) + 2 if size else 0  # its line end is part of it
            self._at = _At.CHUNK if self._left > 2 else _At.TRAILERS
        return line

    def _cut(self, end: int) -> bytes:
        piece = self._bytes[self._done : end]
        self._done = end
        self._searched = end
        return piece

    # --- callbacks of httptools ------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        if self._lines > HEADERS:
            self._refused = problem(431, f"the request has more than {HEADERS} headers")
            return
        if self._at is not _At.HEAD:
            return  # a trailer, which is ignored
        name = name.lower()
        if name in self._headers:
            if name == b"host":
                self._refused = problem(400, "the request has two Host headers")
            value = self._headers[name] + b"," + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        headers = self._headers
        length = int(headers.get(b"content-length", b"0") or b"0")  # the parser has checked that it is a number
        if self._refused is not None:
            return
        if b"host" not in headers and self._parser.get_http_version() != "1.0":
            self._refused = problem(400, "the request has no Host header")
        elif length > REQUEST_BYTES:
            self._refused = _too_large()
        elif b"transfer-encoding" in headers:
            self._at = _At.CHUNK_LINE
        elif length:
            self._at, self._left = _At.BODY, length
        self.continues = self._at is not _At.HEAD and headers.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        self.continues = False
        if len(self._body) + len(body) > REQUEST_BYTES:
            self._refused = _too_large()
        elif self._refused is None:
            self._body += body

    def on_message_complete(self) -> None:
        parser = self._parser
        keep = parser.should_keep_alive()
        self._whole = Received(parser.get_method(), self._target, self._headers, bytes(self._body), keep)


def _without_upgrade(head: bytes) -> bytes:
    """Ignores an offer to change the protocol, as RFC 9110 allows. The parser would end the request there, and lose a
    body that follows, as Java's HttpClient sends it."""
    return _UPGRADE.sub(b"", head) if b"upgrade" in head.lower() else head


def _malformed() -> Answer:
    return problem(400, "this is not a well-formed HTTP/1.1 request")


def _too_large() -> Answer:
    return problem(413, f"the body exceeds {REQUEST_BYTES} bytes (4 MiB); send the events in several requests")
