"""`tidemill runs replay`, and `runs cancel --function`, against the real handlers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cli_server import MemoryServer

from tidemill import App, Context, NonRetriableError
from tidemill_local.cli import follow, main, text
from tidemill_local.cli.http import Api

Run = Callable[..., tuple[int, str, str]]
PAY, REST = ("--function", "shop.pay"), ("--function", "shop.rest")


def shop(broken: list[bool]) -> App:
    app = App("shop")

    @app.function(on="pay")
    def pay(ctx: Context) -> str:
        if broken:
            raise NonRetriableError("broken")
        return "paid"

    @app.function(on="rest")
    def rest(ctx: Context) -> None:
        ctx.step.sleep("rest", "30d")

    return app


@pytest.fixture
def broken() -> list[bool]:
    return [True]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, broken: list[bool]) -> Iterator[MemoryServer]:
    for name in ("TIDEMILL_API_KEY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    server = MemoryServer(shop(broken))
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.setattr(text, "now_ms", server.clock.now)
    monkeypatch.setattr(follow, "sleep", lambda seconds: server.advance(1))
    yield server
    server.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def send(server: MemoryServer, name: str, *numbers: int) -> None:
    with Api(server.url) as api:
        for n in numbers:
            api.send(json.dumps({"name": name, "data": {"n": n}}).encode())
            server.advance(1)


def listed(server: MemoryServer, **query: Any) -> list[dict[str, Any]]:
    with Api(server.url) as api:
        return list(api.pages("/v1/runs", 1_000, **query))


def test_failed_runs_run_again_and_name_the_run_that_they_repeat(
    server: MemoryServer, run: Run, broken: list[bool]
) -> None:
    send(server, "pay", 1, 2, 3)
    broken.clear()
    code, out, _ = run("runs", "replay", *PAY, "--yes")
    assert (code, out.partition(" completed: ")[2]) == (0, "3 replayed\n")
    failed, again = listed(server, status="failed"), listed(server, status="completed")
    assert {row["run_id"] for row in failed} == {row["rerun_of"] for row in again}
    assert {row["rerun_of"] for row in failed} == {None}
    assert f"rerun of  {again[0]['rerun_of']}" in run("runs", "show", again[0]["run_id"])[1]


def test_a_dry_run_shows_the_runs_and_changes_nothing(server: MemoryServer, run: Run) -> None:
    send(server, "pay", 1, 2)
    code, out, _ = run("runs", "replay", *PAY, "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "2 runs of shop.pay would be replayed")
    assert all(row["run_id"] in out for row in listed(server))
    assert json.loads(run("runs", "replay", *PAY, "--dry-run", "--json")[1])["count"] == 2
    assert len(listed(server)) == 2


def test_options_choose_the_runs(server: MemoryServer, run: Run) -> None:
    send(server, "pay", 1)
    server.advance(7_200)
    send(server, "pay", 2, 3)

    def count(*words: str) -> int:
        return int(json.loads(run("runs", "replay", *PAY, *words, "--dry-run", "--json")[1])["count"])

    assert [count(*words) for words in ((), ("--since", "1h"), ("--until", "1h"), ("--since", "99999999d"))] == [
        3,
        2,
        1,
        3,
    ]
    assert count("--if", "event.data.n >= 2 && run.error.type == 'NonRetriableError'") == 2
    assert count("--status", "completed") == 0


def test_a_rate_bounds_how_many_run_again_in_a_second(server: MemoryServer, run: Run) -> None:
    send(server, "pay", *range(6))
    began = server.clock.now()
    code, out, _ = run("runs", "replay", *PAY, "--yes", "--rate", "2/s", "--json")
    assert (code, json.loads(out)["done"]) == (0, 6)
    assert server.clock.now() - began >= 3_000


def test_open_runs_are_cancelled(server: MemoryServer, run: Run) -> None:
    send(server, "rest", 1, 2)
    assert run("runs", "cancel", *REST, "--yes")[1].endswith(" completed: 2 cancelled\n")
    assert {row["status"] for row in listed(server)} == {"cancelled"}


@pytest.mark.parametrize(("answer", "cancelled"), [("y\n", 2), ("n\n", 0), ("", 0)])
def test_the_command_asks_first(
    server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, cancelled: int
) -> None:
    send(server, "rest", 1, 2)
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    code, _, err = run("runs", "cancel", *REST)
    assert "Cancel 2 runs of shop.rest? [y/N] " in err
    assert len(listed(server, status="cancelled")) == cancelled
    assert code == (0 if cancelled else 1)


def test_without_a_terminal_it_takes_a_yes(server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    send(server, "rest", 1)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = run("runs", "cancel", *REST)
    assert (code, err) == (
        2, "tidemill: this would cancel 1 run of shop.rest; add --yes to do so, or --dry-run to see them\n"
    )  # fmt: skip
    assert run("runs", "replay", *PAY) == (0, "", "no runs match; nothing was done\n")


def test_ctrl_c_leaves_the_job_and_says_how_to_stop_it(
    server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    send(server, "rest", 1)
    monkeypatch.setattr(follow, "sleep", interrupt)
    code, _, err = run("runs", "cancel", *REST, "--yes")
    assert code == 130
    assert f"curl -X DELETE {server.url}/v1/cancellations/" in err
    server.advance(1)
    assert [row["status"] for row in listed(server)] == ["cancelled"]


def test_a_job_that_somebody_stops_is_a_failure(
    server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(seconds: float) -> None:
        with Api(server.url) as api:
            api.delete(f"/v1/replays/{api.get('/v1/replays')[0]['id']}")

    send(server, "pay", 1)
    monkeypatch.setattr(follow, "sleep", stop)
    code, out, _ = run("runs", "replay", *PAY, "--yes")
    assert (code, out.endswith(" stopped: 0 replayed\n")) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("runs", "cancel"), 2, "name one run, or --function"),
        (("runs", "cancel", "R", *PAY), 2, "name one run, or --function"),
        (("runs", "cancel", "R", "--yes"), 2, "name one run, or --function"),
        (("runs", "cancel", "--since", "2h"), 2, "name one run, or --function"),
        (("runs", "replay"), 2, "--function"),
        (("runs", "replay", *PAY, "--since", "yesterday"), 2, "--since must be a time"),
        (("runs", "replay", *PAY, "--rate", "fast", "--yes"), 1, "rate must be a number"),
        (("runs", "replay", *PAY, "--if", "run.", "--yes"), 1, "if: "),
        (("runs", "replay", *PAY, "--status", "running", "--yes"), 1, "the status of a replay is one of"),
        (("runs", "replay", "--function", "shop.gone", "--yes"), 1, "is not declared"),
    ],
)
def test_a_bad_request_is_one_sentence(
    server: MemoryServer, run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    got, out, err = run(*words)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert said in err
