"""The dev server's HTTP: bytes in, bytes out, over a transport that only remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import pytest

from tidemill.limits import REQUEST_BYTES
from tidemill_local.http.connection import IDLE, LINGER, PATIENCE, Connection
from tidemill_local.http.door import Door, Hosts
from tidemill_local.http.payload import Answer
from tidemill_local.http.request import HEADER_BYTES
from tidemill_local.server.tick import Tick

HOSTS = Hosts(frozenset({b"localhost:8288", b"127.0.0.1:8288"}))
OPEN = Hosts(HOSTS.names, any_host=True)


class Transport(asyncio.Transport):
    """What was written, and whether the connection is still open."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.ended = False
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return 0


class Store:
    def __init__(self) -> None:
        self.fails = False

    def commit(self) -> None:
        if self.fails:
            from tidemill_local.store.errors import StoreFullError

            raise StoreFullError("the disk is full")

    def rollback(self) -> None: ...


class Talk:
    """A connection to a server that answers every request with what it was."""

    def __init__(self, hosts: Hosts | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.store = Store()
        self.tick = Tick(self.store, before=lambda: None, failed=lambda _: None)
        self.transport = Transport()
        self.now = 0.0  # seconds: what a turn has taken is what a test says
        self.door = Door(self._answer, self.tick, hosts, seconds=lambda: self.now)
        self.connection = Connection(self.door)
        self.connection.connection_made(self.transport)

    def _answer(self, request: dict[str, Any]) -> Generator[None, None, Answer]:
        self.requests.append(request)
        yield
        return Answer(200, request["rawPath"].encode(), {"content-type": "text/plain"})

    def say(self, *chunks: bytes) -> bytes:
        """Send these, each in a turn of its own; what has come back since the last time."""
        for chunk in chunks:
            buffer = self.connection.get_buffer(-1)
            buffer[: len(chunk)] = chunk
            self.connection.buffer_updated(len(chunk))
            self.tick.end()
        sent, self.transport.sent = self.transport.sent, b""
        return sent


def conversation(*chunks: bytes, hosts: Hosts | None = None) -> tuple[bytes, Talk]:
    async def main() -> tuple[bytes, Talk]:
        talk = Talk(hosts)
        try:
            return talk.say(*chunks), talk
        finally:
            talk.connection.connection_lost(None)

    return asyncio.run(main())


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def error(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"])


def test_a_request_becomes_an_api_gateway_payload() -> None:
    answer, talk = conversation(
        b"POST /w/key/a%2Fb?x=1&x=2&y=%20 HTTP/1.1\r\nHost: me\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 5\r\n\r\n",
        b"hello",
    )
    (request,) = talk.requests
    assert request["version"] == "2.0"
    assert request["rawPath"] == "/w/key/a/b"
    assert request["rawQueryString"] == "x=1&x=2&y=%20"
    assert request["queryStringParameters"] == {"x": "1,2", "y": " "}
    assert request["headers"] == {"host": "me", "x-a": "1,2", "content-length": "5"}
    assert request["requestContext"]["http"]["method"] == "POST"
    assert (request["body"], request["isBase64Encoded"]) == ("hello", False)
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10\r\n\r\n/w/key/a/b"


def test_a_body_that_is_no_text_is_base64() -> None:
    _, talk = conversation(b"POST / HTTP/1.1\r\nHost: me\r\nContent-Length: 2\r\n\r\n\xff\xfe")
    assert (talk.requests[0]["body"], talk.requests[0]["isBase64Encoded"]) == ("//4=", True)


def test_pipelined_requests_are_answered_in_order() -> None:
    answer, _ = conversation(
        b"GET /1 HTTP/1.1\r\nHost: me\r\n\r\nGET /2 HTTP/1.1\r\nHost: me\r\n\r\nGET /3 HT",
        b"TP/1.1\r\nHost: me\r\n\r\n",
    )
    assert [part.rpartition(b"\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]] == [b"/1", b"/2", b"/3"]


def test_a_chunked_body_is_put_together() -> None:
    _, talk = conversation(
        b"POST / HTTP/1.1\r\nHost: me\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"
    )
    assert talk.requests[0]["body"] == "abcde"


def test_head_has_the_length_and_no_body() -> None:
    answer, _ = conversation(b"HEAD /health HTTP/1.1\r\nHost: me\r\n\r\n")
    assert b"content-length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_expect_100_continue_is_answered_before_the_body() -> None:
    head = b"POST / HTTP/1.1\r\nHost: me\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert conversation(head)[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status(conversation(head.replace(b": 2", b": 99999999"))[0]) == 413


@pytest.mark.parametrize(
    ("request_", "closes"),
    [
        (b"GET / HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: me\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: me\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_unless_the_sender_says_otherwise(request_: bytes, closes: bool) -> None:
    answer, talk = conversation(request_)
    assert (b"connection: close" in answer) is closes
    assert talk.transport.ended is closes


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (REQUEST_BYTES + 1), 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * HEADER_BYTES, 431),
    ],
)
def test_what_makes_no_sense_is_refused_once_and_the_connection_closed(request_: bytes, expected: int) -> None:
    answer, talk = conversation(request_, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(answer) == expected
    assert answer.count(b"HTTP/1.1 4") == 1
    assert b"connection: close" in answer
    assert talk.transport.ended


def test_a_chunked_body_over_the_limit_is_refused_while_it_comes_in() -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, talk = conversation(head, *[chunk] * (REQUEST_BYTES // 65_536 + 1))
    assert status(answer) == 413
    assert not talk.requests


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"Host: localhost:8288", 200),
        (b"Host: LOCALHOST:8288", 200),
        (b"Host: 127.0.0.1:8288\r\nOrigin: http://localhost:8288", 200),
        (b"Host: localhost:80", 403),
        (b"Host: evil.example:8288", 403),
        (b"Host: localhost:8288\r\nOrigin: http://evil.example", 403),
        (b"Host: localhost:8288\r\nOrigin: null", 403),
    ],
)
def test_foreign_hosts_and_origins_are_refused_on_loopback(headers: bytes, expected: int) -> None:
    answer, talk = conversation(b"GET / HTTP/1.1\r\n" + headers + b"\r\n\r\n", hosts=HOSTS)
    assert status(answer) == expected
    assert bool(talk.requests) is (expected == 200)


def test_nothing_is_answered_before_the_commit_and_a_failed_one_is_a_503() -> None:
    async def main() -> None:
        talk = Talk()
        talk.store.fails = True
        answer = talk.say(b"POST / HTTP/1.1\r\nHost: me\r\n\r\n" * 2)
        assert answer.count(b"HTTP/1.1 503 ") == answer.count(b"HTTP/1.1 ") == 2
        assert b"the disk is full" in answer
        talk.store.fails = False
        assert status(talk.say(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")) == 200
        talk.connection.connection_lost(None)

    asyncio.run(main())


# --- what a sender can make this server keep, and do at once -------------------------------------------------


def test_a_post_that_offers_another_protocol_keeps_its_body_and_its_connection() -> None:
    head = (
        b"POST / HTTP/1.1\r\nHost: me\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"
    )
    answer, talk = conversation(head + b"HTTP2-Settings: AAEA\r\n\r\nhello" + b"GET /next HTTP/1.1\r\nHost: me\r\n\r\n")
    assert [request.get("body") for request in talk.requests] == ["hello", None]
    assert answer.endswith(b"/next")
    assert not talk.transport.ended


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b"0\r\n", *[b"x-trailer: " + b"x" * 8_000 + b"\r\n"] * 20], 431),
        ([b"0\r\n", *[b"a: b\r\n"] * 2_000], 431),
        ([b"0\r\n", b"x" * 70_000], 431),
        ([b"1;" + b"x" * 70_000], 431),
        ([b"1;" + b"x" * 40_000 + b"\r\nx\r\n"] * 3, 431),
        ([b"1\r\nx\r\n"] * 100 + [b"0\r\nx-trailer: 1\r\n\r\n"], 200),
    ],
)
def test_trailers_and_chunk_extensions_are_bounded_as_headers_are(parts: list[bytes], expected: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer, talk = conversation(head, *parts)
    assert status(answer) == expected
    assert [request["body"] for request in talk.requests] == ([] if expected == 431 else ["x" * 100])
    assert all("x-trailer" not in request["headers"] for request in talk.requests)


def test_more_headers_than_anyone_sends_are_refused() -> None:
    assert status(conversation(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 300 + b"\r\n")[0]) == 431


def test_what_is_no_http_is_refused_before_a_line_of_it_ends() -> None:
    assert status(conversation(b"\x16\x03\x01\x02\x00\x01\x00")[0]) == 400


def test_no_request_is_read_while_the_turn_has_had_its_share() -> None:
    async def main() -> None:
        talk = Talk()
        slow = talk.door.handle

        def handle(request: dict[str, Any]) -> Generator[None, None, Answer]:
            talk.now += 1  # far more than a share
            return slow(request)

        talk.door.handle = handle
        talk.say(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n" * 60)
        assert len(talk.requests) == 1
        assert not talk.transport.reads
        for turn in range(2, 61):
            talk.door.turned()
            await asyncio.sleep(0)
            talk.tick.end()
            assert len(talk.requests) == turn
        assert talk.transport.sent.count(b"HTTP/1.1 200 ") == 59
        talk.door.turned()
        await asyncio.sleep(0)
        assert talk.transport.reads
        talk.connection.connection_lost(None)

    asyncio.run(main())


class Hours(asyncio.SelectorEventLoop):
    """An event loop whose clock a test moves."""

    seconds = 0.0

    def time(self) -> float:
        return self.seconds

    async def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        for _ in range(3):  # timers that are due are called in the next turn
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: me\r\nContent-Length: 99\r\n\r\n"]
)
def test_a_sender_of_a_byte_a_second_is_cut_when_its_time_is_over(head: bytes) -> None:
    loop = Hours()

    async def main() -> None:
        talk = Talk()
        assert talk.say(head) == b""
        for _ in range(int(PATIENCE) - 1):
            await loop.pass_(1)
            assert talk.say(b"a") == b""
            assert not talk.transport.ended
        await loop.pass_(2)
        answer = talk.say(b"a")
        assert status(answer) == 408
        assert error(answer) == "the request did not come in within 30 seconds"
        await loop.pass_(LINGER + 1)
        assert talk.transport.ended
        assert talk.requests == []
        talk.connection.connection_lost(None)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_a_sender_that_asks_now_and_then_is_not_cut() -> None:
    loop = Hours()

    async def main() -> None:
        talk = Talk()
        for _ in range(5):
            await loop.pass_(PATIENCE - 1)
            assert status(talk.say(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")) == 200
        await loop.pass_(IDLE - 1)
        assert not talk.transport.ended
        await loop.pass_(2)
        assert talk.transport.ended, "nobody asks"
        talk.connection.connection_lost(None)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_a_connection_that_does_not_take_its_answers_is_read_no_further() -> None:
    async def main() -> None:
        talk = Talk()
        talk.connection.pause_writing()
        talk.say(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n" * 60)
        assert not talk.requests
        talk.connection.resume_writing()
        talk.door.turned()
        await asyncio.sleep(0)
        assert len(talk.requests) == 60
        talk.connection.connection_lost(None)

    asyncio.run(main())


def test_a_long_call_lets_the_others_through() -> None:
    async def main() -> None:
        talk = Talk()

        def handle(request: dict[str, Any]) -> Generator[None, None, Answer]:
            for _ in range(10 if request["rawPath"] == "/long" else 1):
                talk.now += 1
                yield
            talk.requests.append(request)
            return Answer(200, b"")

        talk.door.handle = handle
        other = Connection(talk.door)
        other.connection_made(transport := Transport())
        talk.say(b"GET /long HTTP/1.1\r\nHost: me\r\n\r\n")
        buffer = other.get_buffer(-1)
        request = b"GET /health HTTP/1.1\r\nHost: me\r\n\r\n"
        buffer[: len(request)] = request
        other.buffer_updated(len(request))
        turns = 0
        while not transport.sent:
            turns += 1
            talk.door.turned()
            await asyncio.sleep(0)
            talk.tick.end()
        assert turns < 6
        assert [request["rawPath"] for request in talk.requests] == ["/health"]
        talk.connection.connection_lost(None)
        other.connection_lost(None)

    asyncio.run(main())


def test_a_call_whose_sender_has_gone_is_finished_if_it_writes() -> None:
    async def main() -> list[str]:
        talk = Talk()

        def handle(request: dict[str, Any]) -> Generator[None, None, Answer]:
            for _ in range(5):
                talk.now += 1
                yield
            talk.requests.append(request)
            return Answer(200, b"")

        talk.door.handle = handle
        for method in (b"POST", b"GET"):
            connection = Connection(talk.door)
            connection.connection_made(Transport())
            data = method + b" / HTTP/1.1\r\nHost: me\r\nContent-Length: 0\r\n\r\n"
            connection.get_buffer(-1)[: len(data)] = data
            connection.buffer_updated(len(data))
            connection.connection_lost(None)
        for _ in range(20):
            talk.door.turned()
            await asyncio.sleep(0)
            talk.tick.end()
        talk.connection.connection_lost(None)
        return [request["requestContext"]["http"]["method"] for request in talk.requests]

    assert asyncio.run(main()) == ["POST"]


def test_a_connection_too_many_takes_the_place_of_an_idle_one_or_is_sent_away() -> None:
    async def main() -> None:
        tick = Tick(Store(), before=lambda: None, failed=lambda _: None)
        talk = Talk()
        door = Door(talk.door.handle, tick, None, most=2)
        connections = [(Connection(door), Transport()) for _ in range(4)]
        for (connection, transport), begins in zip(connections, (False, True, True, True), strict=True):
            connection.connection_made(transport)
            if begins:
                connection.get_buffer(-1)[:4] = b"GET "
                connection.buffer_updated(4)
        tick.end()
        assert [transport.ended for _, transport in connections] == [True, False, False, True]
        assert status(connections[3][1].sent) == 503
        for connection, _ in connections:
            connection.connection_lost(None)
        talk.connection.connection_lost(None)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (b"Host: 192.168.1.7:8288", 200),
        (b"Host: anything.example:8288", 200),
        (b"Host: 192.168.1.7:8288\r\nOrigin: http://192.168.1.7:8288", 200),
        (b"Host: localhost:8288\r\nOrigin: http://localhost:8288", 200),
        (b"Host: 192.168.1.7:8288\r\nOrigin: http://evil.example", 403),
        (b"Host: evil.example:8288\r\nOrigin: http://evil.example:8288", 403),
        (b"Host: 192.168.1.7:8288\r\nOrigin: null", 403),
    ],
)
def test_foreign_origins_are_refused_beyond_loopback_too(headers: bytes, expected: int) -> None:
    assert status(conversation(b"GET / HTTP/1.1\r\n" + headers + b"\r\n\r\n", hosts=OPEN)[0]) == expected
