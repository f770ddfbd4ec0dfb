"""Events over HTTP, against a server that answers what the test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tidemill import ApiError, App, EventError
from tidemill.sdk import client
from tidemill.sdk.client import post

OK = (200, {"ids": ["i1"], "status": 200})


class Server:
    """Listens at `url`; answers with `answers`, in order (None: hangs up), and keeps what came."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any] | None] = []
        self.came: list[tuple[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.came.append((self.path, json.loads(body)))
                answer = server.answers.pop(0)
                if answer is None:
                    return
                content = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.delenv("TIDEMILL_EVENT_KEY", raising=False)
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def test_an_event_goes_out_with_an_id_of_its_own(server: Server) -> None:
    server.answers = [OK]
    assert App("shop").send("user/signed.up", {"x": 1}, user={"id": "u"}) == ["i1"]
    [(path, [event])] = server.came
    assert path == "/e/dev"
    assert len(event.pop("id")) == 26
    assert event == {"name": "user/signed.up", "data": {"x": 1}, "user": {"id": "u"}}


def test_an_id_given_stays_and_the_key_is_encoded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_EVENT_KEY", "a/b?")
    monkeypatch.setenv("TIDEMILL_URL", server.url + "/prefix/")
    server.answers = [OK]
    App("shop").send([{"name": "a", "id": "mine"}])
    assert server.came == [("/prefix/e/a%2Fb%3F", [{"id": "mine", "name": "a", "data": {}}])]


def test_a_refusal_in_the_words_of_the_server(server: Server) -> None:
    server.answers = [(401, {"error": "this event key is unknown; look it up", "status": 401})]
    with pytest.raises(ApiError, match=r"^this event key is unknown; look it up$") as raised:
        post([{"name": "a"}])
    assert raised.value.status == 401
    assert len(server.came) == 1


def test_events_that_are_refused_are_an_error_of_the_events_with_each_problem(server: Server) -> None:
    sentence = "the event a does not fit its schema: data.n: 'x' is not of type 'integer'; nothing was taken in"
    problem = {"index": 0, "loc": ["data", "n"], "msg": "'x' is not of type 'integer'"}
    server.answers = [(400, {"error": sentence, "status": 400, "errors": [problem]})]
    with pytest.raises(EventError) as raised:
        App("shop").send("a", {"n": "x"})
    assert str(raised.value) == sentence
    assert raised.value.errors == ({**problem, "loc": ("data", "n")},)
    assert len(server.came) == 1


def test_a_request_that_is_refused_as_a_whole_is_no_error_of_events(server: Server) -> None:
    server.answers = [(400, {"error": "the array is empty", "status": 400, "errors": []})]
    with pytest.raises(ApiError, match="the array is empty") as raised:
        post([{"name": "a"}])
    assert raised.value.status == 400


@pytest.mark.parametrize("trouble", [(503, {"error": "loading", "status": 503}), None])
def test_what_may_have_got_lost_is_sent_again_with_the_same_ids(server: Server, trouble: Any) -> None:
    server.answers = [trouble, trouble, OK]
    assert post([{"name": "a"}], pauses=(0, 0)) == ["i1"]
    first, second, third = server.came
    assert first == second == third


def test_trouble_that_does_not_end(server: Server) -> None:
    server.answers = [(500, {"error": "the disk is full", "status": 500})] * 3
    with pytest.raises(ApiError, match="the disk is full") as raised:
        post([{"name": "a"}], pauses=(0, 0))
    assert raised.value.status == 500
    server.answers = [None] * 3
    with pytest.raises(ApiError, match=r"http://127\.0\.0\.1:\d+ gave no answer: ") as raised:
        post([{"name": "a"}], pauses=(0, 0))
    assert raised.value.status == 0


@pytest.mark.parametrize("answer", [(200, b"<html>"), (404, b"not here"), (200, {"status": "ok"}), (200, b"[]")])
def test_somebody_else_answers(server: Server, answer: Any) -> None:
    server.answers = [answer]
    with pytest.raises(ApiError, match=f"answered {answer[0]}, and not as Tidemill does; check TIDEMILL_URL"):
        post([{"name": "a"}])


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("TIDEMILL_URL", url)
    with pytest.raises(ApiError, match=f"^nothing listens at {url}: start `tidemill dev`, or set TIDEMILL_URL$"):
        post([{"name": "a"}], pauses=(0, 0))


def test_a_server_that_restarts_gets_what_was_sent_meanwhile(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{free.getsockname()[1]}"
    tried, paused = iter([away, away, away]), []

    def pause(seconds: float) -> None:
        paused.append(seconds)

    there = client._connection
    monkeypatch.setattr(client, "_connection", lambda url: there(next(tried, server.url)))
    monkeypatch.setattr(client.time, "sleep", pause)
    server.answers = [OK]
    assert App("shop").send("a") == ["i1"]
    assert len(paused) == 3
    assert sum(client._PAUSES) == 10


@pytest.mark.parametrize("url", ["localhost:8288", "ftp://x", "http://", "http://x:port"])
def test_a_url_that_is_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TIDEMILL_URL", url)
    with pytest.raises(ApiError, match=r"write it like http://127\.0\.0\.1:8288"):
        post([{"name": "a"}])


def test_the_loop_goes_on_while_it_is_sent(server: Server) -> None:
    held = threading.Event()

    class Held(list[Any]):
        def pop(self, _: Any = 0) -> Any:
            assert held.wait(120)
            return OK

    server.answers = Held()

    async def main() -> list[str]:
        sending = asyncio.ensure_future(App("shop").asend("a"))
        await asyncio.sleep(0)
        assert not sending.done()
        held.set()  # only a loop that is not blocked gets here
        return await sending

    assert asyncio.run(main()) == ["i1"]


def test_a_transport_of_its_own() -> None:
    app = App("shop")
    app.transport = lambda events: [event["name"] for event in events]
    assert asyncio.run(app.asend([{"name": "a"}, {"name": "b"}])) == ["a", "b"]
