"""Steps that are HTTP services: what is sent, what is refused, and how long it may take."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from contract.programs import NOW, clock, serving, task_of
from unit.aws.calls.test_client import certificate

from tidemill.core.definition import Http
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill.runtimes.address import public
from tidemill.runtimes.http import HttpRuntime
from tidemill.runtimes.output import PAYLOAD_BYTES

RUNTIME = HttpRuntime("a key", refuse_private=False, clock=clock)
GUARDED = HttpRuntime("a key", refuse_private=True, clock=clock)


ANSWERS = {
    "/latin": ("text/plain; charset=ISO-8859-1", "café".encode("latin-1")),
    "/quoted": ('text/plain; Charset="windows-1252"', "5 €".encode("cp1252")),
    "/json": ("application/json; charset=utf-16", '{"a": "é"}'.encode("utf-16")),
    "/none": ("application/json", '{"a": "é"}'.encode()),
    "/unknown": ("text/plain; charset=klingon", "é".encode()),
    "/no text": ("text/plain; charset=hex", "é".encode()),
    "/deep": ("application/json", b"[" * 5_000 + b"]" * 5_000),
    "/gzip": ("application/json", b"\x1f\x8b"),
}


class Service(BaseHTTPRequestHandler):
    seen: list[tuple[dict[str, str], bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((dict(self.headers), body, self.path))
        if self.path == "/moved":
            self.send_response(308)
            self.send_header("Location", "https://elsewhere.example/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/big":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * (PAYLOAD_BYTES + 1))
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"{}")
        elif (path := unquote(self.path)) in ANSWERS:
            content_type, body = ANSWERS[path]
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            if path == "/gzip":
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Service.seen = []
    with serving(Service) as url:
        yield url


def refusal(runtime: HttpRuntime, url: str, timeout: int | None = None, **more: Any) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        runtime(task_of(Http(url, **more), None, Path(), timeout=timeout))
    return caught.value.failure


def test_what_is_sent(url: str) -> None:
    headers = {"X-Own": "yes", "Host": "evil.example", "content-length": "3", "Tidemill-Signature": "forged"}
    RUNTIME(task_of(Http(f"{url}/a/b?c=d", headers), None, Path()))
    RUNTIME(task_of(Http(f"{url}?c=d", {"User-Agent": "us"}), None, Path(), {"event": "é"}))
    (sent, body, path), (second, other, root) = Service.seen
    assert (path, root) == ("/a/b?c=d", "/?c=d")
    assert body == b'{"a":1}'
    assert other == '{"event":"é"}'.encode()
    assert sent["Content-Type"] == "application/json"
    assert sent["Host"] == url.removeprefix("http://")
    assert sent["X-Own"] == "yes"
    assert (sent["User-Agent"], second["User-Agent"]) == ("tidemill", "us")
    assert sent["Idempotency-Key"] == second["Idempotency-Key"]
    digest = hmac.new(b"a key", b"%d." % (NOW // 1_000) + body, hashlib.sha256).hexdigest()
    assert sent["Tidemill-Signature"] == f"t={NOW // 1_000},v1={digest}"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("latin", "café"),
        ("quoted", "5 €"),
        ("json", {"a": "é"}),
        ("none", {"a": "é"}),
        ("unknown", "é"),
        ("no%20text", "é"),
        ("deep", "[" * 5_000 + "]" * 5_000),
    ],
)
def test_an_answer_is_read_in_its_charset(url: str, path: str, body: object) -> None:
    assert RUNTIME(task_of(Http(f"{url}/{path}"), None, Path()))["body"] == body


def test_no_encoding_is_asked_for_and_none_is_taken(url: str) -> None:
    found = refusal(RUNTIME, f"{url}/gzip", headers={"accept-encoding": "gzip"})
    assert (found.type, found.retriable) == ("EncodedAnswer", False)
    assert Service.seen[0][0]["Accept-Encoding"] == "identity"


def test_a_redirect_is_not_followed(url: str) -> None:
    found = refusal(RUNTIME, f"{url}/moved")
    assert "https://elsewhere.example/" in found.message
    assert not found.retriable
    assert len(Service.seen) == 1


def test_an_answer_is_bounded_and_whole(url: str) -> None:
    assert refusal(RUNTIME, f"{url}/big").type == "OutputTooLarge"
    assert "whole" in refusal(RUNTIME, f"{url}/short").message


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("http://", "host"),
        ("http://user:secret@example.com/", "password"),
        ("http://example.com:port/", "port"),
        ("http://example.com/a b", "blank"),
        ("http://example.com/\r\nX: y", "line break"),
    ],
)
def test_urls_that_are_refused(bad: str, why: str) -> None:
    found = refusal(RUNTIME, bad)
    assert why in found.message.lower()
    assert "secret" not in found.message
    assert not found.retriable


def test_a_service_that_is_not_there_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    found = refusal(RUNTIME, f"http://127.0.0.1:{port}/")
    assert found.type == "ConnectionError"
    assert found.retriable


def test_the_time_is_for_the_whole_answer() -> None:
    """Ten bytes, one every 100 ms: each comes in time, and together they do not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
                try:
                    while not done.wait(0.1):
                        connection.sendall(b"x")
                except OSError:
                    return

        threading.Thread(target=trickle, daemon=True).start()
        found = refusal(RUNTIME, f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=250)
        done.set()
    assert found.type == "StepTimeoutError"
    assert "0.25 s" in found.message


def test_so_is_the_resolver_given() -> None:
    held = threading.Event()

    def never(host: str, port: int) -> list[str]:
        held.wait(120)
        return []

    runtime = HttpRuntime("a key", refuse_private=True, clock=clock, ask=never)
    assert refusal(runtime, "http://example.com/", timeout=50).type == "StepTimeoutError"
    held.set()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:169.254.169.254",
        "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254", "no address",
        "fec0::1", "feff::1", "192.0.0.192", "192.88.99.1", "168.63.129.16", "100.100.100.200", "fd20:ce::254",
        "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:ec2::23", "169.254.170.2", "192.80.8.124", "198.18.0.1", "192.0.2.1",
        "::ffff:168.63.129.16", "64:ff9b::a83f:8110", "64:ff9b:1::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "2001::1",
        "2606:4700::5efe:a9fe:a9fe", "2606:4700::200:5efe:7f00:1", "3fff::1", "5f00::1", "2001:db8::1", "240.0.0.1",
        "64:ff9b::7f00:1", "::1%lo", "100::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_open_internet(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are(address: str) -> None:
    assert public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"])
def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    found = refusal(GUARDED, f"http://{host}:9/")
    assert found.type == "PrivateAddress"
    assert not found.retriable


def test_one_private_address_among_others_is_enough(url: str) -> None:
    runtime = HttpRuntime("k", refuse_private=True, clock=clock, ask=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    assert refusal(runtime, "http://rebound.example/").type == "PrivateAddress"


def test_a_step_may_allow_them(url: str) -> None:
    assert GUARDED(task_of(Http(url, private=True), None, Path())) == {"status": 200, "body": {}}


def test_a_name_is_resolved_once_and_that_address_is_asked(url: str) -> None:
    asked: list[str] = []

    def ask(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    runtime = HttpRuntime("k", refuse_private=False, clock=clock, ask=ask)
    port = url.rpartition(":")[2]
    assert runtime(task_of(Http(f"http://shop.example:{port}/"), None, Path()))["status"] == 200
    assert asked == ["shop.example"]
    assert Service.seen[0][0]["Host"] == f"shop.example:{port}"


def test_tls_is_verified_with_the_name_not_the_address(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    Service.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        runtime = HttpRuntime(
            "k", refuse_private=False, clock=clock, ask=lambda host, port: ["127.0.0.1"],
            tls=ssl.create_default_context(cafile=file),
        )  # fmt: skip
        assert runtime(task_of(Http(f"https://localhost:{server.server_port}/"), None, Path()))["status"] == 200
        other = refusal(runtime, f"https://shop.example:{server.server_port}/")
        wary = HttpRuntime("k", refuse_private=False, clock=clock)
        unknown = refusal(wary, f"https://localhost:{server.server_port}/")
        server.shutdown()
    assert "shop.example" in other.message
    assert "certificate" in other.message.lower()
    assert "certificate" in unknown.message.lower()
    assert len(Service.seen) == 1
