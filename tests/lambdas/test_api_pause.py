"""Functions paused and resumed by the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Caller

AT = "2026-09-21T14:13:20.000Z"


def test_a_function_is_paused_and_resumed(call: Caller) -> None:
    paused = call.post("/v1/functions/shop.welcome/pause").data
    assert paused["paused"] == {"at": AT, "by": "an API call", "events": "keep"}
    assert call.get("/v1/functions/shop.pro").data["paused"] is None
    call.world.clock.ms += 1_000  # type: ignore[attr-defined]
    again = call.post("/v1/functions/shop.welcome/pause", {"events": "drop"}).data
    assert again["paused"] == {"at": AT, "by": "an API call", "events": "drop"}
    assert call.post("/v1/functions/shop.welcome/resume").data["paused"] is None
    assert call.post("/v1/functions/shop.welcome/resume").status == 200


def test_what_a_paused_function_held_is_looked_at_on_resume(call: Caller) -> None:
    from tidemill.engine.drive.claim import open_run

    call.post("/v1/functions/shop.welcome/pause")
    (event_id,) = call.send({"name": "user/signed.up"})
    (run_id,) = call.runs_of(event_id)
    assert open_run(call.world, run_id, "worker/0", 2**53) is None
    assert call.get(f"/v1/runs/{run_id}").data["reason"] == "function shop.welcome is paused"
    why = call.get(f"/v1/runs/{run_id}/why").data
    assert (why["code"], why["details"]) == (
        "paused", {"name": "shop.welcome", "by": "an API call", "since": AT},
    )  # fmt: skip
    call.world.queue.looks.clear()  # type: ignore[attr-defined]
    call.post("/v1/functions/shop.welcome/resume")
    assert call.world.queue.looks == [(run_id, "shop.welcome", None)]  # type: ignore[attr-defined]
    assert call.get(f"/v1/runs/{run_id}").data["reason"] is None


def test_all_functions_are_paused_and_resumed_at_once(call: Caller) -> None:
    assert all(function["paused"] for function in call.post("/v1/functions/pause").data)
    assert not any(function["paused"] for function in call.post("/v1/functions/resume").data)


def test_a_pause_of_nothing_and_a_wrong_word_change_nothing(call: Caller) -> None:
    assert call.post("/v1/functions/nobody/pause").status == 404
    assert call.post("/v1/functions/nobody/resume").status == 404
    answer = call.post("/v1/functions/shop.welcome/pause", {"events": "burn"})
    assert (answer.status, "'keep'" in answer.json["error"]) == (400, True)
    assert call.post("/v1/functions/shop.welcome/pause", {"for": "1h"}).status == 400
    assert call.get("/v1/functions/shop.welcome").data["paused"] is None


@pytest.mark.parametrize("path", ["/v1/functions/shop.welcome/resume", "/v1/functions/resume"])
def test_a_resume_takes_no_fields(call: Caller, path: str) -> None:
    for body in ([], 1, '"x"'):
        answer = call.post(path, body)
        assert (answer.status, answer.json["error"]) == (400, "the body must be {} or empty")
    assert call.post(path, {"all": True}).json["error"] == "the body has no field 'all'; it has none"
    assert call.post(path, {}).status == 200
