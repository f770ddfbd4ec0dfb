"""The command line against the real handlers, over real HTTP, on a clock that moves when a command waits."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_server import MemoryServer

import tidemill_lambdas
from tidemill import App, Backoff, CancelOn, Context, Throttle, Timeouts
from tidemill.core.flow import concurrency as places
from tidemill.model import Event
from tidemill.ports import Grant, Hold, Waiting
from tidemill_local.cli import follow, main, text
from tidemill_local.cli.http import _COMMANDS, Api
from tidemill_local.cli.screen import Silent
from tidemill_local.http.payload import Answer, problem


def shop() -> App:
    app = App("shop")

    @app.function(on="order/placed")
    def checkout(ctx: Context) -> dict[str, Any]:
        paid = ctx.step.run("charge", lambda: {"paid": ctx.event.data["total"]})
        ctx.step.sleep("cool down", "1h")
        return paid

    @app.function(
        backoff=Backoff("5s", 3, "10m"),
        cancel_on=CancelOn("x", match="data.id", timeout="1d"),
        timeouts=Timeouts(start="1h"),
        throttle=Throttle(10, "1m"),
    )
    def tuned(ctx: Context) -> None: ...

    @app.function(on="order/broken", retries=0)
    def broken(ctx: Context) -> None:
        def explode() -> None:
            raise ValueError("no such card")

        ctx.step.run("charge", explode)

    @app.function(on="order/watched")
    def watched(ctx: Context) -> Any:
        return ctx.step.wait_for_event("approval", "order/approved", match="data.id", timeout="3d")

    @app.function(on="order/plain")
    def plain(ctx: Context) -> Any:
        return ctx.event.data

    return app


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServer]:
    for name in ("TIDEMILL_API_KEY", "TIDEMILL_EVENT_KEY", "COLUMNS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    server = MemoryServer(shop())
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.setattr(text, "now_ms", server.clock.now)
    monkeypatch.setattr(follow, "sleep", lambda seconds: server.advance(600))
    yield server
    server.close()


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> Done:
        code = main(words)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


def test_an_event_is_sent_and_its_id_printed(server: MemoryServer, run: Run) -> None:
    done = run("send", "order/plain", '{"a": 1}', "--user", "u1", "--id", "mine")
    assert (done.code, done.out, done.err) == (0, "mine\n", "")
    event = run("events", "show", "mine", "--json").json
    assert (event["name"], event["data"], event["user"]) == ("order/plain", {"a": 1}, {"id": "u1"})


def test_keys_go_where_they_belong(server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("send", "a", "--event-key", "k/1")
    run("runs", "list", "--key", "secret")
    monkeypatch.setenv("TIDEMILL_API_KEY", "other")
    run("runs", "list")
    assert server.calls[0] == "POST /e/k%2F1"
    assert [headers.get("authorization") for headers in server.headers] == [None, "Bearer secret", "Bearer other"]


def test_data_from_a_file_and_from_standard_input(
    server: MemoryServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "order.json").write_text('{"from": "file"}')
    run("send", "a", f"@{tmp_path / 'order.json'}")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "stdin"}')))
    run("send", "a", "-")
    assert [json.loads(body)["data"] for body in server.bodies] == [{"from": "file"}, {"from": "stdin"}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["send", "a", '{"x": }'], "the JSON argument is not JSON: expecting value at character 7"),
        (["send", "a", '{"x": NaN}'], "NaN is no JSON value"),
        (["send", "a", '{"x": "1e999", "y": 1e999}'], "(character 21: 1e999)"),
        (["send", "a", '{"x": ' + "9" * 5_000 + "}"], "the JSON argument: this number is too large"),
        (["send", "a", '{"x":\n  18446744073709551616}'], "(line 2, column 3: 18446744073709551616)"),
        (["invoke", "shop.plain", '{"x": -1e999}'], "(character 7: -1e999)"),
        (
            ["runs", "rerun", "01KAN5YJ4CPD9DQ5WX1QZ7M0GV", "--input", '{"x": 1e999}'],
            "--input: this number is too large",
        ),
        (["send", "a", "{} {}"], "extra data at character 4"),
        (["send", "a", ""], "it is empty"),
        (["send", "a", "[" * 100_000], "it nests too deep"),
        (["send", "a", "[1]"], "must be a JSON object"),
        (["send", "a", "@nowhere.json"], "nowhere.json cannot be read: No such file"),
        (["send"], "name the event"),
        (["send", "a", "{}", "--file", "x"], "JSON is for one event"),
        (["send", "a", "--file", "nowhere.ndjson"], "nowhere.ndjson cannot be read"),
        (["runs", "list", "--limit", "0"], "'0' is not a whole number from 1 on"),
        (["runs", "list", "--before", "yesterday"], "--before: 'yesterday' is not a time, in ISO 8601"),
        (["runs", "list", "--after", "2026-13-01"], "--after: '2026-13-01' is not a time"),
        (["runs", "list", "--after", "253402300800000"], "is not a time"),
        (["events", "list", "--after", "²"], "--after: '²' is not a time"),
        (["events", "list", "--before", "2026-11-01T09:00:00Zoo"], "is not a time"),
        (["runs", "list", "--colour"], "'--colour' is not known here"),
        (["runs", "show"], "required: RUN"),
        (["runs"], "required: COMMAND"),
        (["fly"], "there is no command 'fly'; tidemill --help shows how"),
        (["rusn"], "there is no command 'rusn'; did you mean runs? tidemill --help shows how"),
        (["runs", "lits"], "runs: there is no command 'lits'; did you mean list? tidemill runs --help shows how"),
        (["runs", "list", "--satus=failed"], "'--satus=failed' is not known here; did you mean --status?"),
        (["runs", "list", "--status"], "expected one argument"),
        (["runs", "list", "--url", "ftp://x"], "'ftp://x' is no address of a server"),
        (["runs", "list", "--url", "http://x:99999"], "is no address of a server"),
        (["runs", "list", "--key", "a\nb"], "the key has characters that no key has"),
        (["dev", "--port", "70000"], "'70000' is not a port"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_sends_nothing(
    server: MemoryServer, run: Run, words: list[str], says: str
) -> None:
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.startswith("tidemill: ")
    assert done.err.count("\n") == 1
    assert server.calls == []


def test_a_file_with_a_mistake_in_its_middle_names_line_and_column(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{\n  "a": 1,\n  b: 2\n}')
    done = run("send", "a", f"@{tmp_path / 'bad.json'}")
    assert done.code == 2
    assert "at line 3, column 3" in done.err


def test_waiting_shows_each_step_and_ends_with_the_run(server: MemoryServer, run: Run) -> None:
    done = run("send", "order/placed", '{"total": 40}', "--wait")
    assert done.code == 0
    told = done.lines
    assert told[0].startswith("shop.checkout  run ")
    assert told[1].split() == ["shop.checkout", "charge", "completed", "0", "ms", '{"paid":', "40}"]
    assert "cool down  sleeping  until" in told[2]
    assert told[2].endswith("in 1 h")
    assert "cool down  completed  1 h" in told[3]
    assert told[4] == 'shop.checkout  completed in 1 h  {"paid": 40}'
    assert len(told) == 5


def test_waiting_for_a_run_that_fails_is_exit_1(server: MemoryServer, run: Run) -> None:
    done = run("send", "order/broken", "--wait")
    assert done.code == 1
    assert "ValueError: no such card (step charge)" in done.out
    assert "in explode" in done.out


def test_waiting_for_nothing_says_so(server: MemoryServer, run: Run) -> None:
    done = run("send", "nobody/cares", "--id", "e1", "--wait")
    assert (done.code, done.out) == (0, "e1 is stored; no function listens for it\n")


def test_a_name_that_is_nearly_one_that_functions_listen_for(server: MemoryServer, run: Run) -> None:
    out = run("send", "order/plaxed", "--id", "e1", "--wait").out
    assert out.startswith("e1 is stored; no function listens for it; did you mean order/placed")


def test_waiting_as_json_prints_the_ended_runs(server: MemoryServer, run: Run) -> None:
    done = run("send", "order/placed", '{"total": 1}', "--wait", "--json")
    assert done.code == 0
    assert done.json["status"] == "completed"
    assert [step["id"] for step in done.json["steps"]] == ["charge", "cool down"]


def test_waiting_looks_ever_less_often(server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 20:
            server.advance(3_600)

    monkeypatch.setattr(follow, "sleep", sleep)
    monkeypatch.setattr(follow, "monotonic", lambda: 0.0)  # a look that takes long is followed by a longer rest
    assert run("send", "order/placed", '{"total": 1}', "--wait").code == 0
    assert len(rests) == 20
    assert min(rests) >= 0.02
    assert rests[-1] == 0.5
    assert rests == sorted(rests)


def test_waiting_outlives_a_server_that_is_restarted(server: MemoryServer, run: Run) -> None:
    server.instead.extend([None, problem(503, "not yet")])
    run_id = run("invoke", "shop.plain", "{}", "--url", server.url)
    assert run_id.code == 3  # the post itself is not repeated: it has no id that would make it harmless
    run_id = run("invoke", "shop.plain", "{}", "--url", server.url)
    assert (run_id.code, run_id.err) == (1, "tidemill: not yet\n")
    started = run("invoke", "shop.plain", '{"a": 1}').out.strip()
    server.instead.extend([None, problem(503, "not yet")])
    with Api(server.url) as api:
        runs = follow.follow(api, [started], Silent(), follow.Pace())
        assert [one["status"] for one in runs] == ["completed"]
        event = run("send", "order/plain").out.strip()
        server.instead.extend([None, problem(503, "not yet")])
        assert len(follow.of_event(api, event, follow.Pace())) == 1


def test_ctrl_c_stops_the_watching_and_says_how_to_look_later(
    server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "sleep", sleep)
    done = run("send", "order/placed", '{"total": 1}', "--wait")
    assert done.code == 130
    run_id = done.lines[0].split()[-1]
    assert done.err == f"tidemill: no longer watching; the run goes on: tidemill runs show {run_id}\n"
    assert "sleeping" in run("runs", "show", run_id).out


def test_a_file_of_events_goes_out_in_arrays(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    lines = [json.dumps({"name": "order/plain", "data": {"n": n}}) for n in range(2_500)]
    (tmp_path / "many.ndjson").write_text("\n".join(lines) + "\n\n")
    done = run("send", "--file", str(tmp_path / "many.ndjson"), "--user", "u1")
    assert (done.code, done.out) == (0, "2,500 events sent\n")
    arrays = [json.loads(body) for body in server.bodies]
    assert [len(array) for array in arrays] == [1_000, 1_000, 500]
    assert [event["data"]["n"] for array in arrays for event in array] == list(range(2_500))
    assert arrays[0][0]["user"] == {"id": "u1"}


def test_large_events_of_a_file_go_out_in_requests_below_the_limit(
    server: MemoryServer, run: Run, tmp_path: Path
) -> None:
    line = json.dumps({"name": "order/plain", "data": {"text": "x" * 700_000}})
    (tmp_path / "large.ndjson").write_text("\n".join([line] * 8))
    assert run("send", "--file", str(tmp_path / "large.ndjson")).code == 0
    assert [len(json.loads(body)) for body in server.bodies] == [5, 3]


def test_lines_of_a_named_file_are_data_unless_they_are_events_of_that_name(
    server: MemoryServer, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "f").write_text('{"total": 1}\n{"name": "order/plain", "data": {"total": 2}}\n{"name": "Ann"}')
    assert run("send", "order/plain", "--file", str(tmp_path / "f")).code == 0
    sent = json.loads(server.bodies[0])
    assert {event["name"] for event in sent} == {"order/plain"}
    assert [event["data"] for event in sent] == [{"total": 1}, {"total": 2}, {"name": "Ann"}]


def test_bad_lines_are_all_named_and_nothing_is_sent(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    bad = [
        b'{"name": "a"}',
        b"nope",
        b"",
        b"[1]",
        b'{"data": {}}',
        b'{"name": "a", "data": 1}',
        b'{"name": "a", "x": 1}',
    ]
    bad += [b'{"name": "\xff"}', b'{"name": "a", "data": {"t": "' + b"x" * 800_000 + b'"}}']
    (tmp_path / "bad.ndjson").write_bytes(b"\n".join(bad))
    done = run("send", "--file", str(tmp_path / "bad.ndjson"))
    assert done.code == 2
    named = [line.split(":")[0].strip() for line in done.err.splitlines()[1:]]
    assert named == [f"line {n}" for n in (2, 4, 5, 6, 7, 8, 9)]
    assert "nothing was sent" in done.err
    assert server.calls == []


def test_an_array_whose_answer_was_lost_is_sent_again_with_the_same_ids(
    server: MemoryServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill_local.cli.bulk.sleep", lambda seconds: None)
    (tmp_path / "f").write_text('{"name": "order/plain"}\n' * 3)
    server.instead.extend([None, problem(500, "trouble")])
    assert run("send", "--file", str(tmp_path / "f")).code == 0
    assert len(server.bodies) == 3
    assert len(set(server.bodies)) == 1


def test_an_array_whose_answer_stays_lost_is_said_to_be_unknown(
    server: MemoryServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill_local.cli.bulk.sleep", lambda seconds: None)
    (tmp_path / "f").write_text('{"name": "order/plain"}\n' * 3)
    server.instead.extend([None] * 4)
    done = run("send", "--file", str(tmp_path / "f"))
    assert done.code == 3
    assert "whether lines 1 to 3 were taken in is unknown" in done.err
    assert "nothing was sent" not in done.err


def test_errors_name_commands_in_place_of_calls(server: MemoryServer, run: Run) -> None:
    assert "`tidemill runs list` lists the latest" in run("runs", "show", "nope").err
    assert "`tidemill functions list` lists them all" in run("functions", "show", "nope").err
    assert "`tidemill events list` lists the latest" in run("events", "show", "nope").err
    server.instead.append(problem(401, "this call needs a valid API key; send it as a header: Authorization: Bearer x"))
    said = run("runs", "list").err
    assert "this call needs a valid API key; give it as --key" in said
    assert "header" not in said


def test_each_call_that_an_error_of_the_api_names_has_its_command() -> None:
    api = Path(tidemill_lambdas.__file__).parent / "api"
    named = {
        call
        for file in api.glob("*.py")
        for line in file.read_text().splitlines()
        if "Refused(" in line
        for call in re.findall(r"(?:GET|POST|PUT|DELETE) /[\w/{}]+", line)
    }
    assert named
    assert named <= set(_COMMANDS)


def test_a_function_says_nothing_of_versions_that_have_no_effect(server: MemoryServer, run: Run) -> None:
    assert "pinned" not in run("functions", "show", "shop.plain").out


def test_what_the_server_refuses_is_named_by_line(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"name": "order/plain"}\n\n{"name": "tidemill/mine"}\n')
    done = run("send", "--file", str(tmp_path / "f"))
    assert done.code == 1
    assert "nothing was sent" in done.err
    assert "line 3: name: names that begin with 'tidemill/'" in done.err


def test_a_file_is_waited_for_event_by_event(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"name": "order/plain"}\n{"name": "order/broken"}\n{"name": "other"}')
    done = run("send", "--file", str(tmp_path / "f"), "--wait")
    assert done.code == 1
    assert done.lines[-1] == "3 events, 2 runs ended, 1 of them not well"


def test_invoke_starts_a_function(server: MemoryServer, run: Run) -> None:
    done = run("invoke", "shop.plain", '{"a": [1, 2]}', "--wait", "--json")
    assert done.code == 0
    assert done.json["output"] == {"a": [1, 2]}
    missing = run("invoke", "shop.nothing")
    assert missing.code == 1
    assert "no function has the id 'shop.nothing'" in missing.err


def test_runs_are_listed_for_people_and_for_programs(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 1}', "--user", "u1")
    run("send", "order/broken")
    server.advance(120)
    shown = run("runs", "list").lines
    assert shown[0].split() == ["RUN", "FUNCTION", "STATUS", "CREATED", "TOOK", "RESULT"]
    assert shown[1].split()[1:6] == ["shop.broken", "failed", "2", "min", "ago"]
    assert "ValueError: no such card" in shown[1]
    assert shown[2].split()[1:3] == ["shop.checkout", "sleeping"]
    runs = [json.loads(line) for line in run("runs", "list", "--json").lines]
    assert [one["function_id"] for one in runs] == ["shop.broken", "shop.checkout"]
    assert len(run("runs", "list", "--status", "failed", "--json").lines) == 1
    assert len(run("runs", "list", "--user", "u1", "--function", "shop.checkout", "--json").lines) == 1
    assert run("runs", "list", "--after", "2100-01-01T00:00:00Z").out == "no runs\n"
    assert run("runs", "list", "--status", "lost").code == 1


def test_lists_follow_cursors_up_to_their_limit(server: MemoryServer, run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text('{"name": "a"}\n' * 2_300)
    run("send", "--file", str(tmp_path / "f"))
    assert len(run("events", "list", "--json", "--limit", "2200").lines) == 2_200
    assert len(run("events", "list", "--json", "--limit", "9999").lines) == 2_300
    assert len(run("events", "list", "--json").lines) == 50


def test_a_run_is_shown_with_its_steps(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 40}', "--id", "o1")
    run_id = run("runs", "list", "--json").json["run_id"]
    shown = run("runs", "show", run_id).out
    assert f"run       {run_id}" in shown
    assert "function  shop.checkout (version v1)" in shown
    assert "status    sleeping until " in shown
    assert 'event     order/placed  {"total": 40}\nevent id  o1' in shown
    steps = [line.split() for line in shown.splitlines() if line.startswith("  ")]
    assert steps[0] == ["STEP", "KIND", "STATUS", "ATTEMPTS", "TOOK", "OUTPUT"]
    assert steps[1] == ["charge", "run", "completed", "1", "0", "ms", '{"paid":', "40}"]
    assert steps[2][:4] == ["cool", "down", "sleep", "sleeping"]
    server.advance(3_600)
    assert 'output    {"paid": 40}' in run("runs", "show", run_id).out


def test_a_failed_run_is_shown_with_where_it_failed(server: MemoryServer, run: Run) -> None:
    run("send", "order/broken")
    run_id = run("runs", "list", "--json").json["run_id"]
    shown = run("runs", "show", run_id).out
    assert "error     ValueError: no such card (step charge)" in shown
    assert 'raise ValueError("no such card")' in shown
    assert "Traceback" not in shown


def test_a_run_that_waits_says_for_what(server: MemoryServer, run: Run) -> None:
    run("send", "order/watched", '{"id": "o1"}')
    run_id = run("runs", "list", "--json").json["run_id"]
    assert "for order/approved until " in run("runs", "show", run_id).out


def test_a_run_is_cancelled_once(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 1}')
    run_id = run("runs", "list", "--json").json["run_id"]
    assert run("runs", "cancel", run_id).out == f"{run_id} is cancelled\n"
    again = run("runs", "cancel", run_id)
    assert again.code == 1
    assert "has ended already" in again.err


def test_a_run_is_run_again(server: MemoryServer, run: Run) -> None:
    run("send", "order/plain", '{"a": 1}')
    run_id = run("runs", "list", "--json").json["run_id"]
    new = run("runs", "rerun", run_id).out.strip()
    assert new != run_id
    assert run("runs", "show", new, "--json").json["output"] == {"a": 1}
    other = run("runs", "rerun", run_id, "--input", '{"a": 2}', "--wait", "--json").json
    assert other["output"] == {"a": 2}
    assert run("runs", "rerun", run_id, "--from-step", "nope").code == 1


def test_what_is_not_there_is_exit_1(server: MemoryServer, run: Run) -> None:
    for words in (["runs", "show", "nope/x"], ["events", "show", "nope"], ["functions", "show", "nope"]):
        done = run(*words)
        assert (done.code, done.out) == (1, "")
        assert "nope" in done.err


def test_an_event_is_shown_with_its_runs(server: MemoryServer, run: Run) -> None:
    run("send", "order/plain", '{"a": 1}', "--id", "a/b ?", "--user", "u1")
    shown = run("events", "show", "a/b ?").out
    assert "name      order/plain" in shown
    assert 'data      {"a": 1}' in shown
    assert "shop.plain" in shown
    assert "u1" in run("events", "list", "--name", "order/plain").out
    assert run("events", "list", "--name", "x").out == "no events\n"


def test_functions_are_listed_and_shown(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 1}')
    shown = run("functions", "list").lines
    assert shown[0].split() == ["FUNCTION", "RUNNING", "IDLE", "BACKLOG", "STARTED", "BY"]
    checkout = next(line for line in shown if line.startswith("shop.checkout"))
    assert checkout.split()[1:4] == ["0", "1", "0"]  # it sleeps
    ids = [line.split()[0] for line in shown[1:]]
    assert ids == ["shop.broken", "shop.checkout", "shop.plain", "shop.tuned", "shop.watched"]
    assert "order/broken" in shown[1]
    assert "retries" in run("functions", "show", "shop.broken").out
    assert run("functions", "show", "shop.broken", "--json").json["retries"] == 0


def test_text_from_elsewhere_cannot_move_the_cursor(server: MemoryServer, run: Run) -> None:
    run("send", "order/plain", '{"a": "\\u001b[2J"}', "--user", "a\x1b[31m\nb")
    for words in (["events", "list"], ["runs", "list"]):
        shown = run(*words).out
        assert "\x1b" not in shown
        assert len(shown.splitlines()) == 2


def test_nobody_listens_is_exit_3(run: Run) -> None:
    done = run("runs", "list", "--url", "http://127.0.0.1:1")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("tidemill: nothing listens at http://127.0.0.1:1: start `tidemill dev`")


def test_another_server_is_exit_3(server: MemoryServer, run: Run) -> None:
    server.instead.append(Answer(200, b"<html>hello</html>"))
    done = run("runs", "list")
    assert done.code == 3
    assert "is no Tidemill" in done.err


def test_a_connection_that_was_kept_open_may_be_closed_meanwhile(server: MemoryServer, run: Run) -> None:
    with Api(server.url) as api:
        assert api.get("/v1/runs") == []
        server.instead.append(None)
        assert api.get("/v1/runs") == []
    assert len(server.calls) == 3


def test_a_wrong_key_says_where_to_give_one(server: MemoryServer, run: Run) -> None:
    server.instead.append(problem(401, "this call needs a valid API key"))
    done = run("runs", "list")
    assert done.code == 1
    assert "--key" in done.err


def test_without_a_command_there_is_help(run: Run) -> None:
    done = run()
    assert done.code == 2
    assert "commands:" in done.out


def test_whoever_reads_the_output_may_go(server: MemoryServer, tmp_path: Path) -> None:
    """`tidemill runs list --json | head -0`: no traceback."""
    (tmp_path / "f").write_text('{"name": "order/plain", "data": {"text": "' + "x" * 5_000 + '"}}\n')
    assert all(main(["send", "--file", str(tmp_path / "f")]) == 0 for _ in range(30))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tidemill_local.cli", "runs", "list", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=_environment())
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_should_not_happen_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(url: str, *_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("tidemill_local.cli.http.Api", explode)
    done = run("runs", "list")
    assert done.code == 1
    assert (
        done.err
        == "tidemill: this should not have happened (ZeroDivisionError: by zero); TIDEMILL_DEBUG=1 shows where\n"
    )


def test_sending_imports_nothing_heavy(server: MemoryServer) -> None:
    program = (
        "import sys; from tidemill_local.cli import main; code = main(['send', 'a', '{}']); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_environment()
    )
    loaded = set(done.stderr.split())
    assert "http.client" in loaded
    assert not loaded & {"asyncio", "pydantic", "sqlite3", "cel", "msgspec", "tidemill", "watchfiles", "httptools"}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_places_in_use_and_who_waits_are_shown(server: MemoryServer, run: Run) -> None:
    registry = server._world.registry
    spec = registry.functions()[0]
    limits = [
        {"limit": 2, "scope": "function", "counts": "steps", "key": "event.data.user"},
        {"limit": 9, "scope": "account", "counts": "steps"},
    ]
    limited = msgspec.structs.replace(spec, flow={"concurrency": limits})
    registry.replace([limited], "2")  # type: ignore[attr-defined]
    flow = server.database.flow
    for place in places.places(limited, Event("e", "n", {"user": "ann"}, 1, 1)):
        flow.take(place, Hold("r1", 1, 2**53), 1, known=False)
        flow.park(place, Waiting("r2", spec.id, 1, 5), Grant(1_790_000_000_000, 9, lambda _: 0))
    listed = run("functions", "list").lines
    assert "PLACES" in listed[0]
    assert "1, 1/9" in listed[1]
    assert "0 ms" in listed[1]
    shown = run("functions", "show", spec.id).out
    assert "2 steps for each event.data.user: 1 in use, 1 waiting, the longest since 2026-09-21" in shown
    assert "ann: 1 in use, 1 waiting" in shown
    assert "9 steps, shared in the account: 1 in use" in shown


def test_the_last_characters_of_a_runs_id_serve_in_every_command(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 1}')
    [listed] = [json.loads(line) for line in run("runs", "list", "--json").lines]
    short = listed["run_id"][-8:]
    assert run("runs", "show", short, "--json").json["run_id"] == listed["run_id"]
    assert run("runs", "show", short.lower(), "--json").json["run_id"] == listed["run_id"]
    assert f"{listed['run_id']} is cancelled" in run("runs", "cancel", short).out
    assert run("runs", "rerun", short).code == 0
    none = run("runs", "show", "ZZZZZZZZ")
    assert (none.code, none.out) == (1, "")
    assert "none of the newest 1,000 runs has an id that ends in 'ZZZZZZZZ'" in none.err


def test_an_id_of_a_run_that_is_nearly_right_is_told_the_right_one(server: MemoryServer, run: Run) -> None:
    run_id = run("invoke", "shop.plain", "{}").out.strip()
    for verb in ("show", "cancel", "rerun"):
        for right in (run_id, run_id[-8:]):
            done = run("runs", verb, right[:-2] + right[-1] + ("Z" if right[-2] != "Z" else "Y"))
            assert (done.code, done.out) == (1, "")
            assert f"; did you mean {right}?" in done.err
    assert "did you mean" not in run("runs", "rerun", run_id, "--from-step", "nope").err


def test_a_short_id_of_several_runs_names_them(server: MemoryServer, run: Run) -> None:
    rows = [{"run_id": f"{letter}{'0' * 17}ABCDEFGH"} for letter in "XY"]
    server.instead.append(Answer(200, json.dumps({"data": rows, "cursor": None}).encode()))
    done = run("runs", "show", "ABCDEFGH")
    assert done.code == 1
    assert f"stands for 2 runs; give one of these ids: {rows[0]['run_id']}, {rows[1]['run_id']}" in done.err


def test_a_function_is_shown_in_words(server: MemoryServer, run: Run) -> None:
    shown = run("functions", "show", "shop.tuned").out
    assert "backoff     first 5 s, factor 3, cap 10 min\n" in shown
    assert "cancel on   name x, match data.id, timeout 1 d\n" in shown
    assert "timeouts    start 1 h\n" in shown
    assert "throttle    limit 10, period 1 min, burst 1\n" in shown
    assert "{" not in shown


@pytest.mark.parametrize("words", [("functions", "show"), ("invoke",)], ids=" ".join)
def test_an_id_that_is_nearly_right_is_told_the_right_one(
    server: MemoryServer, run: Run, words: tuple[str, ...]
) -> None:
    done = run(*words, "shop.chekout")
    assert done.code == 1
    assert "no function has the id 'shop.chekout'; did you mean shop.checkout?" in done.err
    assert "did you mean" not in run(*words, "zzz").err


def test_a_run_is_shown_with_its_event(server: MemoryServer, run: Run) -> None:
    run("send", "order/placed", '{"total": 40}', "--id", "mine")
    [listed] = [json.loads(line) for line in run("runs", "list", "--json").lines]
    shown = run("runs", "show", listed["run_id"]).lines
    at = next(number for number, line in enumerate(shown) if line.startswith("event "))
    assert shown[at : at + 2] == ['event     order/placed  {"total": 40}', "event id  mine"]


@pytest.mark.parametrize(("columns", "whole"), [("80", False), ("120", True)])
def test_a_narrow_terminal_lists_short_ids(
    server: MemoryServer, run: Run, monkeypatch: pytest.MonkeyPatch, columns: str, whole: bool
) -> None:
    run("send", "order/placed", '{"total": 40}')
    monkeypatch.setenv("COLUMNS", columns)
    head, row = run("runs", "list").lines
    assert (len(row.split()[0]) > 8) == whole
    assert run("runs", "show", row.split()[0]).code == 0
    assert max(map(len, (head, row))) <= int(columns)
