"""History at hand: what was received is written as lines, and lines are sent again at the speed they had."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cli_server import MemoryServer

from tidemill import App, Context
from tidemill_local.cli import bulk, export, main, text
from tidemill_local.cli.http import Api
from tidemill_local.cli.pacing import Clock, paced, speed
from tidemill_local.http.payload import problem

Run = Callable[..., tuple[int, str, str]]


def shop() -> App:
    app = App("shop")

    @app.function(on=["order/placed", "tidemill/function.finished"])
    def plain(ctx: Context) -> Any:
        return ctx.event.data

    return app


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServer]:
    for name in ("TIDEMILL_API_KEY", "TIDEMILL_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    server = MemoryServer(shop())
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.setattr(text, "now_ms", server.clock.now)
    monkeypatch.setattr(export, "sleep", lambda seconds: None)
    monkeypatch.setattr(bulk, "sleep", lambda seconds: None)
    yield server
    server.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def send(server: MemoryServer, *events: dict[str, Any]) -> None:
    with Api(server.url) as api:
        api.send(json.dumps(list(events)).encode())


EVENTS: list[dict[str, Any]] = [
    {
        "name": "order/placed",
        "data": {"n": 1, "text": "ü\u2028"},
        "id": "a/1 ?",
        "user": {"id": "u"},
        "ts": 5,
        "v": "2",
    },
    {"name": "order/paid", "data": {"n": 2}, "id": "b", "ts": 6},
    {"name": "order/placed", "data": {}, "id": "c", "ts": 7},
]


def fill(server: MemoryServer) -> None:
    for event in EVENTS:
        send(server, event)
        server.advance(3_600)


def test_what_is_exported_can_be_sent_and_is_the_same(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    fill(server)
    code, out, _ = run("events", "export")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == EVENTS  # the announcement of the ended runs is left out
    assert out.isascii()
    (tmp_path / "f.ndjson").write_text(out)
    other = MemoryServer(shop())
    try:
        assert run("send", "--file", str(tmp_path / "f.ndjson"), "--url", other.url)[0] == 0
        assert run("events", "export", "--url", other.url)[1] == out
    finally:
        other.close()
    calls = len(server.calls)
    assert run("send", "--file", str(tmp_path / "f.ndjson"))[1] == "3 events sent\n"  # here they start nothing
    assert run("events", "export")[1] == out
    assert len(server.calls) == calls + 2


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--name", "order/placed"], ["a/1 ?", "c"]),
        (["--since", "2h"], ["b", "c"]),
        (["--until", "2h"], ["a/1 ?"]),
        (["--since", "2h", "--until", "30m"], ["b", "c"]),
        (["--since", "2000-01-01", "--until", "2000-01-02T00:00:00Z"], []),
    ],
)
def test_a_part_of_the_history(server: MemoryServer, run: Run, words: list[str], ids: list[str]) -> None:
    fill(server)
    code, out, _ = run("events", "export", *words)
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("given", ["soon", "2000-13-01", "5 monkeys"])
def test_a_time_that_is_none_is_said(server: MemoryServer, run: Run, option: str, given: str) -> None:
    code, out, err = run("events", "export", option, given)
    assert (code, out) == (2, "")
    assert f"{option} must be a time" in err
    assert server.calls == []


def test_pages_are_read_to_the_end_and_asked_for_again(server: MemoryServer, run: Run) -> None:
    send(server, *[{"name": "x", "id": f"e{number:04}"} for number in range(2_500)])
    server.instead.extend([problem(503, "not now"), None])
    code, out, _ = run("events", "export", "--name", "x")
    assert code == 0
    assert sorted(json.loads(line)["id"] for line in out.splitlines()) == [f"e{number:04}" for number in range(2_500)]


def test_a_server_that_goes_away_leaves_what_was_written_and_where_to_go_on(server: MemoryServer, run: Run) -> None:
    send(server, *[{"name": "x", "id": f"e{number:04}"} for number in range(1_500)])
    real, seen = server.answer, list[int]()

    def answer(payload: dict[str, Any]) -> Any:
        seen.append(1)
        return problem(503, "gone") if len(seen) > 1 else real(payload)

    server.answer = answer  # type: ignore[method-assign]
    code, out, err = run("events", "export", "--name", "x")
    assert code == 1
    assert len(out.splitlines()) == 1_000
    since = err.split("--since ")[1].split(",")[0]
    server.answer = real  # type: ignore[method-assign]
    code, rest, _ = run("events", "export", "--name", "x", "--since", since)
    assert code == 0
    assert {json.loads(line)["id"] for line in (out + rest).splitlines()} == {
        f"e{number:04}" for number in range(1_500)
    }


def test_a_file_is_taken_up_from_a_line_on(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    lines = [json.dumps({"name": "x", "id": f"e{number:04}"}) for number in range(2_500)]
    (tmp_path / "f").write_text("\n".join(lines))
    real = server.answer
    seen: list[int] = []

    def answer(payload: dict[str, Any]) -> Any:
        seen.append(1)
        return problem(403, "enough") if len(seen) == 2 else real(payload)

    server.answer = answer  # type: ignore[method-assign]
    code, _, err = run("send", "--file", str(tmp_path / "f"))
    assert code == 1
    assert "1,000 events of the lines before 1001 were sent; go on with --from-line 1001" in err
    code, out, _ = run("send", "--file", str(tmp_path / "f"), "--from-line", "1001")
    assert (code, out) == (0, "1,500 events sent\n")
    assert "from line 3000 on" in run("send", "--file", str(tmp_path / "f"), "--from-line", "3000")[2]


@pytest.mark.parametrize("words", [["--speed", "0"], ["--speed", "fast"], ["--speed=-1x"], ["--speed", "inf"]])
def test_a_speed_that_is_none_is_said(server: MemoryServer, run: Run, words: list[str]) -> None:
    code, _, err = run("send", "--file", "f", *words)
    assert code == 2
    assert "is no speed" in err


def test_speed_and_line_are_for_files(server: MemoryServer, run: Run) -> None:
    assert "go with --file" in run("send", "a", "--speed", "2x")[2]
    assert "go with --file" in run("send", "a", "--from-line", "2")[2]


@dataclass
class Moments:
    """A clock that moves when somebody sleeps."""

    at: float = 100.0
    slept: list[float] = field(default_factory=list[float])

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def clock(self, now: int = 10**15) -> Clock:
        return Clock(lambda: self.at, self.sleep, lambda: now)


def test_lines_are_sent_as_far_apart_as_they_were() -> None:
    moments = Moments()
    sent = [(moments.at, group) for group in paced([0, 1_000, 1_000, 500, 3_000], lambda ts: ts, 2.0, moments.clock())]
    assert sent == [(100.0, [0]), (100.5, [1_000, 1_000, 500]), (101.5, [3_000])]


def test_what_has_no_time_or_a_future_one_is_not_waited_for() -> None:
    moments = Moments()
    lines: list[int | None] = [None, 10, None, 10**16, 20]
    assert list(paced(lines, lambda ts: ts, 1.0, moments.clock())) == [[None, 10, None, 10**16], [20]]
    assert moments.slept == [pytest.approx(0.01)]


def test_a_long_silence_is_slept_in_parts() -> None:
    moments = Moments()
    list(paced([0, 10_000_000], lambda ts: ts, 1.0, moments.clock()))
    assert moments.slept == [3_600, 3_600, 2_800]


def test_speeds() -> None:
    assert [speed(text) for text in ("max", "10x", "0.5x", "3")] == [None, 10.0, 0.5, 3.0]
