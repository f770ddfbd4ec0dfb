"""A hostile client against a real server, with the clock: while any of it goes on, /health answers soon.

Slow: it takes minutes, and wants a machine that is not at something else.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from e2e.devserver import DevServer, eventually

pytestmark = pytest.mark.slow

APP = """
from tidemill import App, Event

app = App("shop")

@app.function(on="value/wanted")
def value(ctx):
    return "x" * ctx.event.data["bytes"]

@app.function(on="run/wanted")
def run(ctx):
    return ctx.event.data

@app.function(on="approval/wanted")
def approve(ctx):
    return ctx.step.wait_for_signal("approval", "go", timeout="1h")

@app.function(on=Event("pairs/sent", when="event.data.items.all(a, event.data.items.exists_one(b, a == b))"))
def pairs(ctx): ...
"""

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "0.25"))  # 0.1 on an idle machine; this one may be shared


@pytest.fixture
def shop(dev: DevServer) -> DevServer:
    dev.write("app.py", APP)
    dev.start("app.py", "--no-reload")
    return dev


BEAT = """
import http.client, json, select, sys, time
took = []
while len(took) < 10 or not select.select([sys.stdin], [], [], 0.005)[0]:
    began = time.perf_counter()
    client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    client.request("GET", "/health")
    assert client.getresponse().status == 200
    client.close()
    took.append(time.perf_counter() - began)
print(json.dumps(sorted(took)))
"""


class Pulse:
    """Asks /health over and over beside what happens in the block, each time over a new connection, from a process of
    its own: the attacker's is busy."""

    def __init__(self, server: DevServer, seconds: float = SECONDS) -> None:
        self._server = server
        self._seconds = seconds

    def __enter__(self) -> Pulse:
        command = [sys.executable, "-c", BEAT, str(self._server.port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        out, _rest = self._process.communicate(b".", timeout=60)
        assert self._server.process.poll() is None, self._server.output()
        took = json.loads(out)
        sys.stderr.write(f"/health {len(took)} times, p50 {took[len(took) // 2]:.4f} s, worst {took[-1]:.4f} s\n")
        assert took[-1] < self._seconds, [f"{seconds:.3f}" for seconds in took[-5:]]


def connected(server: DevServer, seconds: float = 60) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=seconds)


def head(server: DevServer, line: str, *headers: str) -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *headers, "", ""]).encode()


def drained(client: socket.socket) -> int:
    """How many bytes come until the other side closes or says nothing for a while."""
    total = 0
    with contextlib.suppress(OSError):
        while data := client.recv(1 << 20):
            total += len(data)
    return total


def flooded(client: socket.socket, data: bytes, times: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(times):
            client.sendall(data)


def test_sixty_pipelined_lists(shop: DevServer) -> None:
    for _ in range(5):
        shop.send("run/wanted", {"text": "x" * 2_000}, count=200)
    eventually(lambda: shop.completed(1_000), within=120)
    with Pulse(shop), closing(connected(shop)) as client:
        last = head(shop, "GET /v1/runs?limit=1", "Connection: close")
        client.sendall(head(shop, "GET /v1/runs?limit=1000") * 60 + last)
        assert drained(client) > 60 * 1_000 * 2_000


def test_lists_of_large_values(shop: DevServer) -> None:
    for _ in range(12):
        shop.send("value/wanted", {"bytes": 25_000_000})
    eventually(lambda: shop.completed(12), within=120)
    with Pulse(shop, 4 * SECONDS):  # SQLite reads a row of 25 MB whole, some 50 ms each, whatever is asked of it
        for _ in range(5):
            answer = shop.ask("GET", "/v1/runs?limit=1000")[1]
            assert [row["output"]["bytes"] for row in answer["data"]] == [25_000_002] * 12


def test_lists_of_large_events(shop: DevServer) -> None:
    for _ in range(40):
        shop.send("nobody/listens", {"text": "x" * 700_000}, count=5)
    with Pulse(shop):
        for _ in range(5):
            answer = shop.ask("GET", "/v1/events?limit=1000")[1]
            assert len(answer["data"]) == 5
            assert answer["cursor"]


@pytest.mark.parametrize("trailer", [b"x-trailer: " + b"x" * 65_000 + b"\r\n", b"a: b\r\n" * 10_000])
def test_trailers_without_end(shop: DevServer, trailer: bytes) -> None:
    with Pulse(shop), closing(connected(shop)) as client:
        client.sendall(head(shop, "POST /e/test", "Transfer-Encoding: chunked") + b"0\r\n")
        flooded(client, trailer, 6_000)
    assert rss(shop) < 400_000_000


def test_a_signal_for_20_000_runs(shop: DevServer) -> None:
    for _ in range(40):
        shop.send("approval/wanted", count=500)
    eventually(lambda: shop.statuses().get("waiting") == 20_000, within=300)
    with Pulse(shop):
        client = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=120)
        client.request("POST", "/v1/signals", json.dumps({"signal": "go", "data": 1}))
        assert len(json.loads(client.getresponse().read())["data"]["run_ids"]) == 20_000
        client.close()


def test_conditions_that_would_take_for_ever(shop: DevServer) -> None:
    with Pulse(shop):
        for size in (3_000, 30_000, 100_000):
            shop.send("pairs/sent", {"items": list(range(size))})
    assert shop.ask("GET", "/v1/runs?function=shop.pairs")[1]["data"] == []


def test_five_thousand_events_at_once(shop: DevServer) -> None:
    with Pulse(shop):
        assert len(shop.send("run/wanted", count=5_000)) == 5_000


def slow_heads(server: DevServer) -> None:
    clients = [connected(server) for _ in range(200)]
    for _ in range(20):
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"GET / HTTP/1.1\r\n"[:1])
        time.sleep(0.05)
    for client in clients:
        client.close()


def idle_connections(server: DevServer) -> None:
    clients = [connected(server) for _ in range(800)]
    time.sleep(0.5)
    for client in clients:
        client.close()


def half_closed(server: DevServer) -> None:
    for _ in range(200):
        with closing(connected(server)) as client:
            client.sendall(head(server, "GET /v1/runs") * 3)
            client.shutdown(socket.SHUT_WR)
            assert drained(client) > 0


def readers_that_do_not_read(server: DevServer) -> None:
    clients = [connected(server) for _ in range(50)]
    for client in clients:
        with contextlib.suppress(OSError):
            client.setblocking(False)
            client.send(head(server, "GET /openapi.json") * 500)
    time.sleep(2)
    for client in clients:
        client.close()


def giant_heads(server: DevServer) -> None:
    for line in (b"X: " + b"x" * 1_000_000 + b"\r\n", b"a: b\r\n" * 100_000, b"x" * 1_000_000, b"\r\n" * 500_000):
        with closing(connected(server, 5)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            flooded(client, line, 5)


def many_small_chunks(server: DevServer) -> None:
    for chunk in (b"1\r\nx\r\n" * 100_000, b"1;" + b"e" * 2_000 + b"\r\nx\r\n", b"0" * 100_000):
        with closing(connected(server, 5)) as client:
            client.sendall(head(server, "POST /e/test", "Transfer-Encoding: chunked"))
            flooded(client, chunk, 40)


def pipelined_bodies(server: DevServer) -> None:
    body = json.dumps([{"name": "nobody/listens", "data": {"n": 1}}] * 50).encode()
    request = head(server, "POST /e/test", f"Content-Length: {len(body)}") + body
    with closing(connected(server, 5)) as client:
        thread = threading.Thread(target=drained, args=(client,))
        thread.start()
        flooded(client, request * 20, 10)
        client.shutdown(socket.SHUT_WR)
        thread.join()


def smuggled(server: DevServer) -> None:
    """Whatever two parsers could understand differently is refused, and what follows it is not answered."""
    inner = head(server, "GET /smuggled")
    shapes = [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 5"),
        ("Content-Length: 4, 4",),
        ("Content-Length: +4",),
        ("Content-Length: 0x4",),
        ("Content-Length : 4",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: \x0bchunked",),
        (" Transfer-Encoding: chunked",),
        ("X: a\nTransfer-Encoding: chunked",),
        ("X: a\rTransfer-Encoding: chunked",),
        ("X\x00: a",),
    ]
    for shape in shapes:
        with closing(connected(server, 5)) as client:
            client.sendall(head(server, "POST /e/test", *shape) + b"0\r\n\r\n" + inner)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))
        assert answer.count(b"content-length:") == 1, (shape, answer)
        assert answer.startswith(b"HTTP/1.1 400 "), (shape, answer)


def noise(server: DevServer) -> None:
    lots = random.Random(7)
    begin = head(server, "POST /e/test", "Transfer-Encoding: chunked")
    for _ in range(300):
        data = bytearray(
            lots.choice((begin, head(server, "GET /v1/runs"), b"")) + lots.randbytes(lots.randrange(2_000))
        )
        for _ in range(lots.randrange(5)):
            if data:
                data[lots.randrange(len(data))] = lots.randrange(256)
        with closing(connected(server, 2)) as client, contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            client.recv(65_536)


ATTACKS = (
    slow_heads, idle_connections, half_closed, readers_that_do_not_read, giant_heads, many_small_chunks,
    pipelined_bodies, smuggled, noise,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attacks(shop: DevServer, attack: Callable[[DevServer], None]) -> None:
    with Pulse(shop):
        attack(shop)
    assert rss(shop) < 400_000_000
    assert "Traceback" not in shop.output()
    shop.send("run/wanted", {"n": 1})
    eventually(lambda: shop.completed(1))


def rss(server: DevServer) -> int:
    """Bytes of memory that the server has (Linux)."""
    return next(lines(server)) * 1_024


def lines(server: DevServer) -> Iterator[int]:
    with open(f"/proc/{server.process.pid}/status") as status:
        return iter([int(line.split()[1]) for line in status if line.startswith("VmRSS")])
