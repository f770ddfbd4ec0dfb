"""Why a run is not running, as the API tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.journal import Blocked, Suspended

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000


def test_a_run_says_why_it_is_not_running_through_its_life(call: Caller) -> None:
    (event_id,) = call.send({"name": "user/signed.up"})
    (run_id,) = call.runs_of(event_id)

    def code() -> tuple[str, str]:
        why = call.get(f"/v1/runs/{run_id}/why").data
        assert why["run_id"] == run_id
        return why["status"], why["code"]

    assert code() == ("scheduled", "queued")
    call.claim(run_id)
    assert code() == ("running", "running")
    call.append(run_id, Suspended(NOW, None, (Blocked("paid", "wait", NOW, None, "order/paid"),)))
    why = call.get(f"/v1/runs/{run_id}/why").data
    assert (why["code"], why["details"]) == ("event", {"step": "paid", "name": "order/paid"})
    call("DELETE", f"/v1/runs/{run_id}")
    assert code() == ("cancelled", "ended")


def test_a_run_of_a_function_that_is_gone_is_held(call: Caller) -> None:
    (event_id,) = call.send({"name": "user/signed.up"})
    (run_id,) = call.runs_of(event_id)
    call.world.registry.replace((), "v2")  # type: ignore[attr-defined]
    assert call.get(f"/v1/runs/{run_id}/why").data["code"] == "held"


def test_an_unknown_run_has_no_reason(call: Caller) -> None:
    answer = call.get("/v1/runs/nobody/why")
    assert (answer.status, answer.json["error"]) == (404, "no run has the id 'nobody'; GET /v1/runs lists the latest")
