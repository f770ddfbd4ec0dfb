"""Runs, listed, looked at, cancelled and run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tidemill.core.journal import Blocked, StepDone, Suspended
from tidemill.model import Failure, HeadChange
from tidemill.ports import APPENDED

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000


def tick(call: Caller, ms: int = 1) -> None:
    call.world.clock.ms += ms  # type: ignore[attr-defined]  # the clock of this test


def start(call: Caller, user: str = "u1") -> str:
    (event_id,) = call.send({"name": "user/signed.up", "user": {"id": user}})
    (run_id,) = call.runs_of(event_id)
    return run_id


def listed(call: Caller, query: str = "") -> list[str]:
    answer = call.get(f"/v1/runs{query}")
    assert answer.status == 200, answer.text
    return [run["run_id"] for run in answer.data]


def test_a_run_from_its_start_to_its_end(call: Caller) -> None:
    run_id = start(call)
    assert call.get(f"/v1/runs/{run_id}").data["status"] == "scheduled"
    call.claim(run_id)
    call.append(run_id, StepDone("a", "run", NOW, NOW, value=b'"done"'))
    run = call.get(f"/v1/runs/{run_id}").data
    assert (run["status"], run["started_at"], run["ended_at"]) == ("running", "2026-09-21T14:13:20.000Z", None)
    assert [(step["id"], step["output"]) for step in run["steps"]] == [("a", "done")]
    assert [record["type"] for record in run["journal"]] == ["started", "claimed", "step_done"]
    call.end(run_id, b'{"n":1}')
    run = call.get(f"/v1/runs/{run_id}").data
    assert (run["status"], run["output"], run["ended_at"]) == ("completed", {"n": 1}, "2026-09-21T14:13:20.000Z")


def test_a_list_shows_outputs_and_errors_but_no_journal(call: Caller) -> None:
    good, bad = start(call), start(call)
    call.claim(good)
    call.claim(bad)
    call.end(good, b"[1]")
    call.end(bad, failure=Failure("ValueError", "boom", "", "a"))
    runs: dict[str, dict[str, Any]] = {run["run_id"]: run for run in call.get("/v1/runs").data}
    assert runs[good]["output"] == [1]
    assert runs[bad]["error"] == {"type": "ValueError", "message": "boom", "stack": "", "step_id": "a"}
    assert "journal" not in runs[good]


@pytest.mark.parametrize("base", ["http://127.0.0.1:8288", "https://abc.example.com"])
def test_a_large_value_is_fetched_from_where_the_run_says(call: Caller, base: str) -> None:
    run_id = start(call)
    call.claim(run_id)
    large = b'"' + b"x" * 70_000 + b'"'
    call.append(run_id, StepDone("a", "run", NOW, NOW, value=large))
    call.end(run_id, large)
    context = {"http": {"method": "GET", "path": ""}, "domainName": base.partition("//")[2]}
    headers = {"x-forwarded-proto": base.partition(":")[0]}
    run = call("GET", f"/v1/runs/{run_id}", headers=headers, requestContext=context).data
    for shown, seq in ((run["steps"][0]["output"], 2), (run["output"], 3)):
        assert shown == {"$large": f"{base}/v1/runs/{run_id}/values/{seq}", "bytes": 70_002}
        assert call.get(shown["$large"].removeprefix(base)).data == "x" * 70_000
    assert call.get(f"/v1/events/{run['event_ids'][0]}/runs").data[0]["output"]["$large"].endswith("/values/3")


@pytest.mark.parametrize("seq", ["0", "1", "99", "-1", "x", "1.5", "9" * 30])
def test_a_number_without_a_value(call: Caller, seq: str) -> None:
    run_id = start(call)
    call.claim(run_id)
    assert call.get(f"/v1/runs/{run_id}/values/{seq}").status == 404


def test_filters(call: Caller) -> None:
    first = start(call, "u1")
    tick(call)
    second = start(call, "u2")
    tick(call)
    call.claim(second)
    call.end(second)
    assert listed(call) == [second, first]
    assert listed(call, "?status=completed") == [second]
    assert listed(call, "?status=scheduled&function=shop.welcome") == [first]
    assert listed(call, "?function=shop.charge") == []
    assert listed(call, "?function=nothing") == []
    assert listed(call, "?user=u1") == [first]
    assert listed(call, "?user=nobody") == []
    assert listed(call, f"?after={NOW}") == [second]
    assert listed(call, "?limit=1") == [second]


def test_pages_follow_each_other_even_within_a_millisecond(call: Caller) -> None:
    call.send(*[{"name": "user/signed.up"}] * 7)
    seen: list[str] = []
    cursor = ""
    for _ in range(3):
        answer = call.get(f"/v1/runs?limit=3{cursor}")
        seen += [run["run_id"] for run in answer.data]
        cursor = f"&cursor={answer.json['cursor']}"
    assert answer.json["cursor"] is None
    assert len(set(seen)) == 7


def test_steps_of_a_suspended_run(call: Caller) -> None:
    run_id = start(call)
    call.claim(run_id)
    blocked = (Blocked("nap", "sleep", NOW, NOW + 60_000), Blocked("ok", "wait", NOW, None, "x/y"))
    seq = len(call.world.runs.read(run_id))
    change = HeadChange("waiting", NOW + 60_000)
    assert call.world.runs.append(run_id, seq, [Suspended(NOW, NOW + 60_000, blocked)], change) == APPENDED
    run = call.get(f"/v1/runs/{run_id}").data
    assert run["status"] == "waiting"
    assert [(step["id"], step["status"]) for step in run["steps"]] == [("nap", "sleeping"), ("ok", "waiting")]


def test_a_cancelled_run(call: Caller) -> None:
    run_id = start(call)
    run = call("DELETE", f"/v1/runs/{run_id}").data
    assert (run["status"], run["ended_at"]) == ("cancelled", "2026-09-21T14:13:20.000Z")
    assert run["reason"]
    assert call.get(f"/v1/runs/{run_id}").data == run
    assert listed(call, "?status=cancelled") == [run_id]


def test_what_has_ended_cannot_be_cancelled(call: Caller) -> None:
    run_id = start(call)
    call.claim(run_id)
    call.end(run_id)
    answer = call("DELETE", f"/v1/runs/{run_id}")
    assert (answer.status, answer.json["status"]) == (409, 409)
    assert "completed" in answer.json["error"]
    assert call.get(f"/v1/runs/{run_id}").data["status"] == "completed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/runs/unknown"),
        ("DELETE", "/v1/runs/unknown"),
        ("POST", "/v1/runs/unknown/rerun"),
        ("GET", "/v1/runs/unknown/values/1"),
        ("GET", "/v1/runs/%00"),
    ],
)
def test_an_unknown_run(call: Caller, method: str, path: str) -> None:
    answer = call(method, path)
    assert (answer.status, answer.json["status"]) == (404, 404)


# --- rerun ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}, "", {"input": {"plan": "pro"}}], ids=range(4))
def test_a_run_runs_again(call: Caller, body: Any) -> None:
    run_id = start(call)
    again = call.post(f"/v1/runs/{run_id}/rerun", body)
    assert again.status == 200
    run = call.get(f"/v1/runs/{again.data['run_id']}").data
    assert run["run_id"] != run_id
    assert (run["function_id"], run["user"], run["status"]) == ("shop.welcome", "u1", "scheduled")
    birth = call.world.runs.birth(run["run_id"])
    assert birth is not None
    edited = isinstance(body, dict) and bool(body)
    assert (birth.events[0].data == {"plan": "pro"}) is edited


def test_a_run_runs_again_from_a_step(call: Caller) -> None:
    run_id = start(call)
    call.claim(run_id)
    call.append(run_id, StepDone("a", "run", NOW, NOW, value=b"1"), StepDone("b", "run", NOW, NOW, value=b"2"))
    again = call.post(f"/v1/runs/{run_id}/rerun", {"from_step": "b"}).data["run_id"]
    assert [step["id"] for step in call.get(f"/v1/runs/{again}").data["steps"]] == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        {"from_step": "nothing"},
        {"from_step": 1},
        {"from_step": None},
        {"input": None},
        {"input": [1]},
        {"steps": "a"},
        [],
        "5",
        "{",
        '{"input": {"n": 99999999999999999999}}',
        '{"input": {"a": "\\ud800"}}',
    ],
    ids=range(11),
)
def test_a_rerun_that_cannot_be(call: Caller, body: Any) -> None:
    run_id = start(call)
    answer = call.post(f"/v1/runs/{run_id}/rerun", body)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert listed(call) == [run_id]


def test_an_input_too_large(call: Caller) -> None:
    run_id = start(call)
    assert call.post(f"/v1/runs/{run_id}/rerun", {"input": {"text": "x" * 800_000}}).status == 413
    assert call.post(f"/v1/runs/{run_id}/rerun", '{"input": {}}' + " " * 4_200_000).status == 413


def test_a_run_whose_function_has_disappeared(call: Caller) -> None:
    run_id = start(call)
    call.world.registry.replace([], "v2")  # type: ignore[attr-defined]  # the registry of this test
    answer = call.post(f"/v1/runs/{run_id}/rerun")
    assert (answer.status, answer.json["status"]) == (409, 409)
    assert "shop.welcome" in answer.json["error"]
