"""Clients that hang up, hold on, talk nonsense or ask for too much: `tidemill dev` goes on, and answers the others."""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from e2e.devserver import PATIENCE, DevServer, eventually, free_port

APP = """
from tidemill import App

app = App("shop")

@app.function(on="order/placed")
def ship(ctx):
    return ctx.event.data
"""

HANG_UPS = (
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
    b"GET /health HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n",
    b"nonsense %d\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: a\r\n\r\n",
)


@pytest.fixture
def shop(dev: DevServer) -> DevServer:
    dev.write("app.py", APP)
    dev.start("app.py", "--no-reload")
    return dev


def connected(server: DevServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def asked(server: DevServer, data: bytes) -> bytes:
    """Everything that comes back until the server closes, or has nothing more to say."""
    with closing(connected(server)) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))


@pytest.mark.parametrize("request_", HANG_UPS)
def test_a_client_that_hangs_up_before_its_answer_stops_nobody(shop: DevServer, request_: bytes) -> None:
    for number in range(150):
        client = connected(shop)
        client.sendall(request_ % shop.port)
        if number % 3 == 0:  # a reset, as a killed process sends it
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert shop.ask("GET", "/health")[0] == 200
    assert "Traceback" not in shop.output()


def test_running_out_of_descriptors_passes(shop: DevServer) -> None:
    most = len(list(descriptors(shop))) + 8
    soft, hard = resource.prlimit(shop.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(shop.process.pid, resource.RLIMIT_NOFILE, (most, hard))
    clients = [connected(shop) for _ in range(30)]
    with contextlib.suppress(OSError):
        clients[0].sendall(b"GET /v1/runs HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % shop.port)
        clients[0].recv(65_536)
    shop.process.poll()
    assert shop.process.returncode is None, shop.output()
    for client in clients:
        client.close()
    resource.prlimit(shop.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    eventually(shop.healthy)
    shop.send("order/placed", {"n": 1})
    eventually(lambda: shop.completed(1))
    assert "Traceback" not in shop.output()


def descriptors(server: DevServer) -> Iterator[int]:
    from pathlib import Path

    return (int(entry.name) for entry in Path(f"/proc/{server.process.pid}/fd").iterdir())


def test_a_post_that_offers_h2c_keeps_its_body(shop: DevServer) -> None:
    body = b'{"name": "order/placed", "data": {"n": 1}}'
    head = (
        b"POST /e/test HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\n"
        b"Host: 127.0.0.1:%d\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
        b"User-Agent: Java-http-client/21\r\nContent-Type: application/json\r\n\r\n" % (len(body), shop.port)
    )
    again = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % shop.port
    answers = asked(shop, head + body + again)
    assert answers.count(b"HTTP/1.1 200 OK") == 2, answers
    eventually(lambda: shop.completed(1))


def test_a_data_folder_deleted_while_the_server_runs_takes_nothing_in(shop: DevServer) -> None:
    shop.send("order/placed", {"n": 1})
    eventually(lambda: shop.completed(1))
    shutil.rmtree(shop.folder / ".tidemill")
    for _ in range(2):
        status, answer = shop.ask("POST", "/e/test", {"name": "order/placed", "data": {}})
        assert status == 503
        assert "tidemill.db is gone: nothing can be kept" in answer["error"]
    assert shop.process.poll() is None
    assert "the last changes could not be stored" in shop.output()
    assert shop.output().count("is gone") < 5


def test_a_data_file_that_was_emptied_stops_the_start(shop: DevServer) -> None:
    shop.send("order/placed", {"n": 1})
    eventually(lambda: shop.completed(1))
    assert shop.stop() == 0
    (shop.folder / ".tidemill" / "tidemill.db").write_bytes(b"")
    shop.launch("app.py")
    assert shop.process.wait(PATIENCE) == 1
    assert "is empty, and it held data" in shop.output()


def test_beyond_loopback_keys_are_demanded_and_named(dev: DevServer) -> None:
    dev.write("app.py", APP)
    dev.port = free_port()
    dev.launch("app.py", "--no-reload", "--host", "0.0.0.0")
    eventually(dev.healthy)
    event_key, api_key = (
        eventually(lambda name=name: re.search(rf"{name}=(\S+) \(made for this start\)", dev.output()))[1]
        for name in ("TIDEMILL_EVENT_KEY", "TIDEMILL_API_KEY")
    )
    assert "Listens on 0.0.0.0: anyone in its networks can connect, and needs a key" in dev.output()
    event = {"name": "order/placed", "data": {}}
    assert dev.ask("POST", "/e/test", event)[0] == 401
    assert dev.ask("GET", "/v1/runs")[0] == 401
    assert dev.ask("GET", "/v1/runs", headers={"Authorization": f"Bearer {event_key}"})[0] == 401
    assert dev.ask("POST", f"/e/{event_key}", event)[0] == 200
    assert dev.ask("GET", "/v1/runs", headers={"Authorization": f"Bearer {api_key}"})[0] == 200
    foreign = {"Authorization": f"Bearer {api_key}", "Origin": "http://evil.example"}
    assert dev.ask("GET", "/v1/runs", headers=foreign)[0] == 403
