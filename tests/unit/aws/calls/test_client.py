"""The client: what it sends, what it tries again, and what it gives up."""

from __future__ import annotations

import datetime
import http.server
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tidemill.aws.calls import credentials as keys
from tidemill.aws.calls.client import TRIES, AwsError, Client, Credentials, Reply, Request
from tidemill.aws.calls.transport import HttpTransport
from tidemill.errors import TidemillError, Unavailable


@dataclass
class Scripted:
    """A transport that gives these answers, in order, the last one for ever."""

    answers: list[Reply | Exception]
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int, code: str, **detail: object) -> Reply:
    return Reply(status, {}, json.dumps({"__type": f"com.amazon#{code}", "message": "no", **detail}).encode())


OK = Reply(200, {}, b'{"a": 1}')


def client(*answers: Reply | Exception, **options: object) -> tuple[Client, Scripted, list[float]]:
    transport = Scripted(list(answers))
    pauses: list[float] = []
    made = Client(
        region="eu-west-1",
        credentials=lambda: Credentials("AKID", "secret", "token"),
        environment=options.pop("environment", {}),
        transport=transport,
        sleep=pauses.append,
        draw=lambda: 1.0,
        clock=lambda: 1_790_000_000.0,
        **options,
    )
    return made, transport, pauses


def test_a_call_is_signed_json() -> None:
    made, transport, pauses = client(OK)
    assert made.call("dynamodb", "GetItem", {"TableName": "t"}) == {"a": 1}
    (request,) = transport.requests
    assert (request.method, request.host, request.target) == ("POST", "dynamodb.eu-west-1.amazonaws.com", "/")
    assert request.secure
    assert request.body == b'{"TableName":"t"}'
    assert request.headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert request.headers["x-amz-security-token"] == "token"
    assert request.headers["x-amz-date"] == "20260921T141320Z"
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/20260921/eu-west-1/dynamodb/")
    assert pauses == []


def test_a_bucket_has_its_own_host() -> None:
    made, transport, _ = client(Reply(200, {}, b"data"))
    assert made.send("s3", "GET", "/bucket/a/b c", query={"x": "1 2"}).body == b"data"
    assert transport.requests[0].host == "bucket.s3.eu-west-1.amazonaws.com"
    assert transport.requests[0].target == "/a/b%20c?x=1%202"
    assert transport.requests[0].headers["host"] == "bucket.s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/base/"},
        {"AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4566/base"},
    ],
)
def test_an_endpoint_of_ones_own(environment: dict[str, str]) -> None:
    made, transport, _ = client(OK, environment=environment)
    made.send("s3", "GET", "/bucket/key")
    (request,) = transport.requests
    assert (request.secure, request.host, request.target) == (False, "127.0.0.1:4566", "/base/bucket/key")


@pytest.mark.parametrize(
    "passing",
    [
        refused(400, "ProvisionedThroughputExceededException"),
        refused(400, "ThrottlingException"),
        refused(400, "TransactionConflictException"),
        refused(
            400, "TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]
        ),
        refused(400, "TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}]),
        refused(
            400,
            "TransactionCanceledException",
            CancellationReasons=[{"Code": "None"}, {"Code": "ProvisionedThroughputExceeded"}],
        ),
        refused(500, "InternalServerError"),
        refused(503, "whatever"),
        Reply(503, {}, b"<html>no JSON"),
        Reply(503, {}, b"<?xml?><Error><Code>SlowDown</Code><Message>later</Message></Error>"),
        refused(429, "whatever"),
        ConnectionResetError("reset"),
        TimeoutError("timed out"),
    ],
)
def test_what_passes_is_tried_again_later_and_later(passing: Reply | Exception) -> None:
    made, transport, pauses = client(passing, passing, passing, OK)
    assert made.call("dynamodb", "PutItem", {}) == {"a": 1}
    assert pauses == [0.05, 0.1, 0.2]
    assert len({request.body for request in transport.requests}) == 1


def test_what_does_not_pass_in_time_is_unavailable() -> None:
    made, transport, pauses = client(TimeoutError("timed out"))
    with pytest.raises(Unavailable, match="dynamodb PutItem failed 8 times, at last with: timed out"):
        made.call("dynamodb", "PutItem", {})
    assert len(transport.requests) == TRIES == len(pauses) + 1
    assert sum(pauses) < 6
    assert max(pauses) == 2.0


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        (refused(400, "ConditionalCheckFailedException"), "ConditionalCheckFailedException", "no"),
        (refused(400, "ValidationException"), "ValidationException", "no"),
        (
            refused(400, "TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}]),
            "TransactionCanceledException",
            "no",
        ),
        (
            refused(
                400,
                "TransactionCanceledException",
                CancellationReasons=[{"Code": "ConditionalCheckFailed"}, {"Code": "TransactionConflict"}],
            ),
            "TransactionCanceledException",
            "no",
        ),
        (Reply(404, {}, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>"), "NoSuchKey", "gone"),
        (Reply(404, {"x-amzn-errortype": "ResourceNotFoundException:http://x"}, b'{"Message":"gone"}'),
         "ResourceNotFoundException", "gone"),
        (Reply(400, {}, b'{"__type":"QueueDoesNotExist","Message":"gone"}'), "QueueDoesNotExist", "gone"),
        (Reply(403, {}, b""), "403", ""),
        (Reply(301, {}, b"[]"), "301", ""),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_an_error_at_once(reply: Reply, code: str, message: str) -> None:
    made, transport, _ = client(reply)
    with pytest.raises(AwsError) as caught:
        made.send("scheduler", "GET", "/schedules/x")
    error = caught.value
    assert (error.service, error.operation, error.status) == ("scheduler", "GET", reply.status)
    assert (error.code, error.message) == (code, message)
    assert len(transport.requests) == 1


# Whose calls these are.


def test_a_lambdas_environment_needs_no_botocore() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}
    assert keys.credentials(environment)() == Credentials("A", "S", "T")
    assert keys.credentials({**environment, "AWS_SESSION_TOKEN": ""})() == Credentials("A", "S")
    assert keys.region({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "x"}) == "eu-west-1"
    assert keys.region({"AWS_DEFAULT_REGION": "x"}) == "x"


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = P\naws_secret_access_key = Q\n")


@pytest.mark.usefixtures("profile")
def test_elsewhere_botocore_knows() -> None:
    assert keys.credentials({})() == Credentials("P", "Q")
    assert keys.region({}) == "eu-north-1"


@pytest.mark.usefixtures("profile")
def test_nobody_at_all_is_told_what_to_set(tmp_path) -> None:
    (tmp_path / "config").write_text("")
    (tmp_path / "credentials").write_text("")
    with pytest.raises(TidemillError, match="set AWS_PROFILE"):
        keys.credentials({})
    with pytest.raises(TidemillError, match="set AWS_REGION"):
        keys.region({})


# On real sockets.


class Server:
    """Answers every request with what it was; each connection ends after `keep` answers, told or untold."""

    def __init__(self, keep: int = 1_000_000, told: bool = False, tls: ssl.SSLContext | None = None) -> None:
        outer = self
        self.connections = 0
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                self.left = keep
                super().setup()

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append((f"{self.command} {self.path}", headers, body))
                self.left -= 1
                self.close_connection = self.left == 0
                content = b'{"n": %d}' % len(outer.seen)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                if self.close_connection and told:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (http.server's names)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http{'s' if tls else ''}://localhost:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def on_sockets(server: Server, transport: HttpTransport) -> Client:
    return Client(
        region="eu-west-1",
        credentials=lambda: Credentials("A", "S"),
        environment={"AWS_ENDPOINT_URL": server.url},
        transport=transport,
        sleep=lambda _: None,
    )


def test_a_connection_is_kept() -> None:
    server, transport = Server(), HttpTransport()
    try:
        made = on_sockets(server, transport)
        assert [made.call("dynamodb", "PutItem", {"n": n})["n"] for n in range(5)] == [1, 2, 3, 4, 5]
        made.send("s3", "PUT", "/b/k", body=b"x" * 100_000, headers={"x-amz-meta-a": "1"})
        made.send("s3", "DELETE", "/b/k")
        assert server.connections == 1
        assert [what for what, _, _ in server.seen] == ["POST /"] * 5 + ["PUT /b/k", "DELETE /b/k"]
        assert server.seen[5][2] == b"x" * 100_000
        assert server.seen[5][1]["x-amz-meta-a"] == "1"
        assert all("authorization" in headers for _, headers, _ in server.seen)
    finally:
        transport.close()
        server.close()


@pytest.mark.parametrize("told", [True, False])
def test_a_connection_that_the_other_side_closed_is_not_used_again(told: bool) -> None:
    server, transport = Server(keep=1, told=told), HttpTransport()
    try:
        made = on_sockets(server, transport)
        assert [made.call("dynamodb", "PutItem", {})["n"] for _ in range(4)] == [1, 2, 3, 4]
        assert server.connections == 4
    finally:
        transport.close()
        server.close()


def certificate(tmp_path) -> str:
    """Of "localhost", signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "localhost.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return str(file)


def test_over_tls_a_connection_is_kept_and_a_stranger_is_not_trusted(tmp_path) -> None:
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = Server(tls=context)
    trusting, wary = HttpTransport(ssl.create_default_context(cafile=file)), HttpTransport()
    try:
        made = on_sockets(server, trusting)
        made.call("dynamodb", "PutItem", {})
        before = server.connections
        for _ in range(5):
            made.call("dynamodb", "PutItem", {"data": "x" * 200_000})
        assert server.connections == before
        assert len(server.seen) == 6
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            on_sockets(server, wary).call("dynamodb", "PutItem", {})
        assert len(server.seen) == 6
    finally:
        trusting.close()
        server.close()


def test_several_threads_at_once() -> None:
    server, transport = Server(), HttpTransport()
    try:
        made = on_sockets(server, transport)
        numbers: list[int] = []
        threads = [
            threading.Thread(target=lambda: numbers.extend(made.call("sqs", "X", {})["n"] for _ in range(10)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == [*range(1, 41)]
        assert server.connections <= 4
    finally:
        transport.close()
        server.close()


def test_nobody_there_is_unavailable() -> None:
    server = Server()
    server.close()
    with pytest.raises(Unavailable, match="refused"):
        on_sockets(server, HttpTransport()).call("dynamodb", "PutItem", {})


def answered(content: bytes, method: str = "GET", **request: object) -> Reply:
    """What becomes of these bytes, sent by a server that closes after them."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(content)

        thread = threading.Thread(target=serve)
        thread.start()
        transport = HttpTransport()
        try:
            host = f"127.0.0.1:{server.getsockname()[1]}"
            values = {"target": "/", "headers": {"host": host}, "body": b"", "timeout": 5.0, **request}
            return transport(Request("s3", method, method, False, host, **values))
        finally:
            if "\n" in str(request.get("headers", "")):
                socket.create_connection(server.getsockname()[:2]).close()
            thread.join()
            transport.close()


@pytest.mark.parametrize(
    ("content", "method", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, b"hi"),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", 200, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", 204, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 200, b""),
        (b"HTTP/1.1 200 OK\r\n\r\nup to the end", "GET", 200, b"up to the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", 200, b"hi"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "PUT", 200, b"hi"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nx: y\r\n\r\n", "GET",
         200, b"abcd"),
        (b"HTTP/1.1 503 Slow Down\nContent-Length: 2\n\nhi", "GET", 503, b"hi"),
    ],
)  # fmt: skip
def test_answers_of_every_shape(content: bytes, method: str, status: int, body: bytes) -> None:
    reply = answered(content, method)
    assert (reply.status, reply.body) == (status, body)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_broken_connection(content: bytes) -> None:
    with pytest.raises(ConnectionError):
        answered(content)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb"])
def test_no_header_brings_another(value: str) -> None:
    with pytest.raises(ConnectionError, match="line break"):
        answered(b"", headers={"host": value})
