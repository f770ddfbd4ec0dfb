"""Replays and cancellations of many runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tidemill.engine.intake import bulk
from tidemill.model import Failure
from tidemill_local.store.runs import SqliteRuns

if TYPE_CHECKING:
    from conftest import Caller

WELCOME = "shop.welcome"


def failed(call: Caller, count: int, plan: str = "free") -> list[str]:
    runs: list[str] = []
    for _ in range(count):
        call.world.clock.ms += 1  # type: ignore[attr-defined]
        (event_id,) = call.send({"name": "user/signed.up", "data": {"plan": plan}})
        (run_id, *_) = [each for each in call.runs_of(event_id) if head(call, each) == WELCOME]
        call.claim(run_id)
        call.end(run_id, failure=Failure("ValueError", "boom"))
        runs.append(run_id)
    call.world.clock.ms += 1  # type: ignore[attr-defined]
    return runs


def head(call: Caller, run_id: str) -> str:
    return str(call.get(f"/v1/runs/{run_id}").data["function_id"])


def create(call: Caller, kind: str = "replays", **body: Any) -> str:
    answer = call.post(f"/v1/{kind}", {"function_id": WELCOME, **body})
    assert answer.status == 202, answer.text
    return str(answer.data["id"])


def work(call: Caller, job_id: str, kind: str = "replay") -> dict[str, Any]:
    while bulk.turn(call.world, f"{kind}:{job_id}"):
        pass
    job: dict[str, Any] = call.get(f"/v1/{kind}s/{job_id}").data
    return job


def count(call: Caller, status: str) -> int:
    return len(call.get(f"/v1/runs?function={WELCOME}&status={status}&limit=1000").data)


def test_failed_runs_are_replayed_once_however_often_it_is_asked_for(call: Caller) -> None:
    failed(call, 250)
    assert create(call, id="again") == create(call, id="again") == "again"
    job = work(call, "again")
    assert (job["status"], job["matched"], job["done"], job["failed"]) == ("completed", 250, 250, 0)
    assert count(call, "scheduled") == 250
    rows = call.get(f"/v1/runs?function={WELCOME}&limit=1000").data
    assert {row["rerun_of"] for row in rows} == {None, *(row["run_id"] for row in rows if row["status"] == "failed")}
    work(call, "again")
    assert (count(call, "scheduled"), count(call, "failed")) == (250, 250)


def test_a_turn_that_is_killed_before_its_record_moves_on_is_done_again(call: Caller) -> None:
    failed(call, 150)
    job_id = create(call)
    before = call.world.jobs.get(f"replay:{job_id}")
    assert before is not None
    assert bulk.turn(call.world, f"replay:{job_id}")
    moved = call.world.jobs.get(f"replay:{job_id}")
    assert moved is not None
    assert call.world.jobs.change(moved, before)  # as if it had not been written
    job = work(call, job_id)
    assert (job["matched"], count(call, "scheduled")) == (150, 150)


def test_a_replay_waits_while_its_function_is_not_declared(call: Caller) -> None:
    failed(call, 3)
    job_id, functions = create(call), call.world.registry.functions()
    call.world.registry.replace((), "v2")  # type: ignore[attr-defined]
    assert work(call, job_id) | {"id": ""} == call.get(f"/v1/replays/{job_id}").data | {"id": ""}
    assert call.get(f"/v1/replays/{job_id}").data["matched"] == 0
    call.world.registry.replace(functions, "v3")  # type: ignore[attr-defined]
    assert (work(call, job_id)["done"], count(call, "scheduled")) == (3, 3)


def test_a_dry_run_counts_and_changes_nothing(call: Caller) -> None:
    runs = failed(call, 120)
    found = call.post("/v1/replays", {"function_id": WELCOME, "dry_run": True}).data
    assert (found["count"], found["more"]) == (120, False)
    assert [run["run_id"] for run in found["runs"]] == runs[::-1][:10]
    assert (count(call, "scheduled"), call.get("/v1/replays").data) == (0, [])


def test_a_condition_chooses_by_run_and_event(call: Caller) -> None:
    failed(call, 3)
    failed(call, 2, plan="team")
    asked = {"function_id": WELCOME, "if": "event.data.plan == 'team' && run.error.type == 'ValueError'"}
    assert call.post("/v1/replays", {**asked, "dry_run": True}).data["count"] == 2
    assert work(call, create(call, **asked))["done"] == 2


def test_a_rate_bounds_what_is_done(call: Caller) -> None:
    failed(call, 30)
    job_id = create(call, rate="10/s")
    assert not bulk.turn(call.world, f"replay:{job_id}")
    assert count(call, "scheduled") == 0
    for second in range(1, 4):
        call.world.clock.ms += 1_000  # type: ignore[attr-defined]
        bulk.turn(call.world, f"replay:{job_id}")
        assert count(call, "scheduled") == 10 * second


def test_a_job_is_paused_resumed_and_stopped(call: Caller) -> None:
    failed(call, 5)
    job_id = create(call)
    assert call.post(f"/v1/replays/{job_id}/pause").data["status"] == "paused"
    assert work(call, job_id)["done"] == 0
    assert call.post(f"/v1/replays/{job_id}/resume").data["status"] == "running"
    assert call("DELETE", f"/v1/replays/{job_id}").data["status"] == "stopped"
    assert call.post(f"/v1/replays/{job_id}/resume").status == 409
    assert work(call, job_id)["done"] == 0
    assert call.get(f"/v1/cancellations/{job_id}").status == 404


def test_open_runs_are_cancelled(call: Caller) -> None:
    for _ in range(120):
        call.send({"name": "user/signed.up"})
    failed(call, 1)
    job = work(call, create(call, "cancellations"), "cancellation")
    assert (job["done"], job["status"]) == (120, "completed")
    assert (count(call, "cancelled"), count(call, "failed")) == (120, 1)


def damage(call: Caller, sql: str) -> None:
    runs = call.world.runs
    assert isinstance(runs, SqliteRuns)
    assert runs._db.write(sql).rowcount == 1
    runs.forget()


@pytest.mark.parametrize("at", [0, 50, 149])
def test_a_row_that_cannot_be_read_ends_no_job_too_soon(call: Caller, at: int) -> None:
    runs = failed(call, 150)
    damage(call, f"UPDATE run SET event_ids = x'c1' WHERE run_id = '{runs[at]}'")
    assert call.post("/v1/replays", {"function_id": WELCOME, "dry_run": True}).data["count"] == 149
    job = work(call, create(call))
    assert (job["status"], job["matched"], job["done"]) == ("completed", 149, 149)


@pytest.mark.parametrize("asked", [{}, {"if": "event.data.plan == 'free'"}])
def test_a_journal_that_cannot_be_read_stops_no_job(call: Caller, asked: dict[str, Any]) -> None:
    for _ in range(3):
        call.send({"name": "user/signed.up", "data": {"plan": "free"}})
    run_id = call.get(f"/v1/runs?function={WELCOME}").data[1]["run_id"]
    damage(call, f"UPDATE journal SET data = x'c1' WHERE seq = 0 AND n = (SELECT n FROM run WHERE run_id = '{run_id}')")
    body = {"function_id": WELCOME, "dry_run": True, **asked}
    assert call.post("/v1/cancellations", body).data["count"] == 3
    job = work(call, create(call, "cancellations", **asked), "cancellation")
    assert (job["status"], job["matched"], job["done"], job["failed"]) == ("completed", 3, 2, 1)


def test_jobs_are_listed_newest_first(call: Caller) -> None:
    for number in range(3):
        call.world.clock.ms += 1  # type: ignore[attr-defined]
        create(call, id=f"j{number}")
    first = call.get("/v1/replays?limit=2").json
    rest = call.get(f"/v1/replays?limit=2&cursor={first['cursor']}").json
    assert [job["id"] for job in first["data"] + rest["data"]] == ["j2", "j1", "j0"]
    assert call.get(f"/v1/cancellations?cursor={first['cursor']}").status == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"function_id": "gone"}, 409),
        ({"function_id": WELCOME, "rate": "0/s"}, 400),
        ({"function_id": WELCOME, "rate": 50}, 400),
        ({"function_id": WELCOME, "if": "run."}, 400),
        ({"function_id": WELCOME, "if": "other.x == 1"}, 400),
        ({"function_id": WELCOME, "status": "running"}, 400),
        ({"function_id": WELCOME, "started_after": "yesterday"}, 400),
        ({"function_id": WELCOME, "dry_run": "yes"}, 400),
        ({"function_id": WELCOME, "id": ""}, 400),
        ({"function_id": WELCOME, "all": True}, 400),
    ],
)
def test_a_bad_request_is_one_sentence_and_changes_nothing(call: Caller, body: dict[str, Any], status: int) -> None:
    answer = call.post("/v1/replays", body)
    assert (answer.status, call.get("/v1/replays").data) == (status, [])
    assert answer.json["error"]
