"""Functions and signals; and the calls that are still to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tidemill.core.flow import concurrency as places
from tidemill.core.journal import Blocked, Suspended
from tidemill.core.match import resolve
from tidemill.duration import iso
from tidemill.engine.runs import match_waits
from tidemill.model import SIGNAL, Event, HeadChange, Wait
from tidemill.ports import APPENDED, Grant, Hold, Waiting

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000


def test_functions_are_listed_by_id(call: Caller) -> None:
    answer = call.get("/v1/functions")
    assert [function["id"] for function in answer.data] == ["shop.charge", "shop.pro", "shop.welcome"]
    assert answer.json["cursor"] is None


def test_a_function_as_it_is_shown(call: Caller) -> None:
    assert call.get("/v1/functions/shop.pro").data == {
        "id": "shop.pro",
        "app": "shop",
        "name": "pro",
        "triggers": [
            {"type": "event", "name": "user/*", "when": "event.data.plan == 'pro'"},
            {"type": "cron", "cron": "0 9 * * *", "timezone": "Europe/Paris", "jitter": 0},
        ],
        "retries": 2,
        "backoff": {"first": 1_000, "factor": 2.0, "cap": 3_600_000},
        "cancel_on": [{"name": "user/left", "match": "data.user_id", "when": None, "timeout": None}],
        "timeouts": {"start": None, "finish": None},
        "on_failure": None,
        "flow": {},
        "versions": "pinned",
        "running": 0,
        "backlog": 0,
        "idle": 0,
        "paused": None,
        "places": [],
    }


def test_how_full_its_limits_are(call: Caller) -> None:
    spec = msgspec.structs.replace(
        call.world.registry.functions()[0],
        flow={
            "concurrency": [
                {"limit": 1, "scope": "function", "counts": "steps", "key": "event.data.user"},
                {"limit": 9, "scope": "account", "counts": "runs"},
            ]
        },
    )
    call.world.registry.replace([spec], "v2")  # type: ignore[attr-defined]
    flow = call.world.flow
    narrow = next(p for p in places.places(spec, Event("e", "n", {"user": "ann"}, 1, 1)) if p.limit == 1)
    flow.take(narrow, Hold("r1", 1, NOW + 9), NOW, known=False)
    for number in (1, 2):
        flow.park(narrow, Waiting(f"w{number}", spec.id, 1, number), Grant(NOW + number, NOW + 9, lambda _: 1))
    first, second = call.get(f"/v1/functions/{spec.id}").data["places"]
    waits = {"used": 1, "waiting": 2, "oldest_wait": iso(NOW + 1)}
    assert first == {
        "scope": "function", "counts": "steps", "key": "event.data.user", "limit": 1, **waits,
        "keys": [{"value": "ann", **waits}],
    }  # fmt: skip
    assert (second["used"], second["waiting"], second["oldest_wait"], second["keys"]) == (0, 0, None, [])


def test_how_busy_a_function_is(call: Caller) -> None:
    ids = call.send(*[{"name": "user/signed.up"}] * 3)
    call.claim(call.runs_of(ids[0])[0])
    function = call.get("/v1/functions/shop.welcome").data
    assert (function["running"], function["backlog"]) == (1, 2)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/invoke")])
def test_an_unknown_function(call: Caller, method: str, path: str) -> None:
    answer = call(method, f"/v1/functions/shop.nothing{path}", {})
    assert (answer.status, answer.json["status"]) == (404, 404)
    assert "shop.nothing" in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"data": {"amount": 5}}, {"amount": 5}),
        ({"data": {"$": ["decimal", "1"]}}, {"$": ["decimal", "1"]}),
        ({}, {}),
        (None, {}),
    ],
)
def test_an_invoked_function(call: Caller, body: Any, data: Any) -> None:
    answer = call.post("/v1/functions/shop.charge/invoke", body)
    assert answer.status == 202
    run = call.get(f"/v1/runs/{answer.data['run_id']}").data
    assert (run["function_id"], run["status"]) == ("shop.charge", "scheduled")
    event = call.get(f"/v1/events/{run['event_ids'][0]}").data
    assert (event["name"], event["data"]) == ("tidemill/function.invoked", data)


@pytest.mark.parametrize(
    "body", [{"data": None}, {"data": 5}, {"dat": {}}, [], "x", '{"data": {"n": 1e400}}'], ids=range(6)
)
def test_an_invocation_that_cannot_be(call: Caller, body: Any) -> None:
    answer = call.post("/v1/functions/shop.charge/invoke", body)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert call.get("/v1/runs").data == []


def test_an_invocation_with_too_much(call: Caller) -> None:
    assert call.post("/v1/functions/shop.charge/invoke", {"data": {"text": "x" * 800_000}}).status == 413


def test_a_signal_reaches_the_run_that_waits_for_it(call: Caller) -> None:
    (event_id,) = call.send({"name": "user/signed.up"})
    (run_id,) = call.runs_of(event_id)
    call.claim(run_id)
    when = resolve({}, when="async.data.signal == 'go'")
    waits = [Wait(run_id, "shop.welcome", key, SIGNAL, when, NOW - 1) for key in ("ok", "too")]
    match_waits.register(call.world, waits)
    seq = len(call.world.runs.read(run_id))
    blocked = tuple(Blocked(wait.key, "signal", NOW, None, "go", (wait,)) for wait in waits)
    suspended = Suspended(NOW, None, blocked)
    assert call.world.runs.append(run_id, seq, [suspended], HeadChange("waiting", NOW + 60_000)) == APPENDED
    assert call.post("/v1/signals", {"signal": "stop"}).data == {"run_ids": []}
    answer = call.post("/v1/signals", {"signal": "go", "data": {"by": "me"}})
    assert (answer.status, answer.data) == (200, {"run_ids": [run_id]})
    for step in call.get(f"/v1/runs/{run_id}").data["steps"]:
        assert (step["status"], step["output"]) == ("completed", {"by": "me"})


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"signal": 5},
        {"signal": ""},
        {"signal": None},
        {"signal": "x" * 257},
        {"signal": "a\n"},
        {"signal": "x", "extra": 1},
        "[]",
        '{"signal": "x", "data": 99999999999999999999}',
    ],
    ids=range(10),
)
def test_a_signal_that_cannot_be(call: Caller, body: Any) -> None:
    answer = call.post("/v1/signals", body)
    assert (answer.status, answer.json["status"]) == (400, 400)


def test_a_signal_with_too_much(call: Caller) -> None:
    assert call.post("/v1/signals", {"signal": "x", "data": "y" * 800_000}).status == 413
