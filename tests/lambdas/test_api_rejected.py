"""Rejected events: kept with the reason, listed when asked for, shown, and taken in after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tidemill.engine.intake import reject
from tidemill.model import REJECTED, Event, EventSchema, EventTrigger, FunctionSpec, Rejected
from tidemill_local.server.registry import LocalRegistry

if TYPE_CHECKING:
    from conftest import Caller

NAME = "user/signed.up"
LISTENER = FunctionSpec("shop.alert", "shop", "alert", (EventTrigger(REJECTED),))
WELCOME = FunctionSpec("shop.welcome", "shop", "welcome", (EventTrigger(NAME),))


def schema(**fields: Any) -> str:
    properties = {name: {"type": kind} for name, kind in fields.items()}
    return msgspec.json.encode({"type": "object", "properties": properties, "required": list(fields)}).decode()


def declare(call: Caller, *specs: FunctionSpec, **versions: str) -> None:
    assert isinstance(call.world.registry, LocalRegistry)
    schemas = [EventSchema(NAME, v, text) for v, text in versions.items()]
    call.world.registry.replace(specs or (WELCOME,), "v1", schemas)


def rejected(call: Caller, event_id: str = "aws-1", **data: Any) -> Event:
    now = call.world.clock.now()
    body = {"name": NAME, "data": data, "user": {"id": "u1"}}
    why = Rejected("it does not fit", [{"index": 0, "loc": ["data", "id"], "msg": "no"}], body)
    return reject.keep(call.world, Event(event_id, NAME, {}, now, now, rejected=why), "legacy")


def test_a_rejected_event_is_shown_with_the_reason_and_in_no_list_unless_asked_for(call: Caller) -> None:
    declare(call, v1=schema(id="string"))
    rejected(call, id=3)
    assert call.get("/v1/events").data == []
    assert call.get(f"/v1/events?name={NAME}").data == []
    (row,) = call.get("/v1/events?rejected=true").data
    assert row == call.get("/v1/events/aws-1").data
    assert row["rejected"]["error"] == "it does not fit"
    assert row["rejected"]["body"]["data"] == {"id": 3}
    assert call.get(f"/v1/events?rejected=true&name={NAME}").data == [row]
    assert call.get("/v1/events?rejected=true&name=other").data == []
    assert call.get("/v1/events?rejected=maybe").status == 400
    assert call.get("/v1/events/aws-1/runs").data == []


def test_pages_of_rejected_events(call: Caller) -> None:
    declare(call, v1=schema(id="string"))
    for number in range(5):
        rejected(call, f"aws-{number}", id=number)
        call.world.clock.ms += 1  # type: ignore[attr-defined]  # the clock of this test
    seen: list[str] = []
    cursor = ""
    while True:  # ends: every page has a row
        answer = call.get(f"/v1/events?rejected=true&limit=2{cursor}").json
        seen += [row["id"] for row in answer["data"]]
        if answer["cursor"] is None:
            break
        cursor = f"&cursor={answer['cursor']}"
    assert seen == ["aws-4", "aws-3", "aws-2", "aws-1", "aws-0"]


def test_what_still_does_not_fit_stays_rejected(call: Caller) -> None:
    declare(call, v1=schema(id="string"))
    rejected(call, id=3)
    answer = call("POST", "/v1/events/aws-1/resend")
    assert answer.status == 400
    assert answer.json["errors"] == [{"index": 0, "loc": ["data", "id"], "msg": '3 is not of type "string"'}]
    assert len(call.get("/v1/events?rejected=true").data) == 1
    assert call.world.events.get("aws-1") is None


def test_a_mended_event_is_taken_in_under_its_own_id_and_the_same_call_answers_the_same(call: Caller) -> None:
    declare(call, v1=schema(id="string"))
    rejected(call, id=3)
    for _ in range(2):
        answer = call("POST", "/v1/events/aws-1/resend", {"data": {"id": "3"}})
        assert (answer.status, answer.json) == (200, {"data": {"id": "aws-1"}})
    event = call.get("/v1/events/aws-1").data
    assert (event["data"], event["v"], event["rejected"], event["user"]) == ({"id": "3"}, "v1", None, {"id": "u1"})
    assert len(call.get("/v1/events/aws-1/runs").data) == 1
    assert call.get("/v1/events?rejected=true").data == []
    assert [row["id"] for row in call.get("/v1/events").data] == ["aws-1"]


def test_with_a_mended_schema_the_event_is_taken_in_as_it_was_sent(call: Caller) -> None:
    declare(call, v1=schema(id="string"))
    rejected(call, id=3)
    declare(call, v1=schema(id="string"), v2=schema(id="integer"))
    assert call("POST", "/v1/events/aws-1/resend").status == 200
    assert call.get("/v1/events/aws-1").data["data"] == {"id": 3}
    declare(call, v1=schema(id="string"))
    rejected(call, "aws-2", id=3)
    assert call("POST", "/v1/events/aws-2/resend", {"v": "v9"}).json["errors"][0]["loc"] == ["v"]


def test_only_what_was_rejected_can_be_sent_again(call: Caller) -> None:
    declare(call)
    call.send({"name": NAME, "id": "mine"})
    assert call("POST", "/v1/events/mine/resend").status == 409
    assert call("POST", "/v1/events/nobody/resend").status == 404
    assert call("POST", "/v1/events/mine/resend", {"data": {"id": "x"}}).status == 409
    assert call("POST", "/v1/events/mine/resend", {"name": "x"}).status == 400


@pytest.mark.parametrize("body", ["no JSON", [1], 3])
def test_what_is_no_object_needs_data(call: Caller, body: object) -> None:
    declare(call)
    now = call.world.clock.now()
    reject.keep(call.world, Event("aws-1", NAME, {}, now, now, rejected=Rejected("no", [], body)))
    assert call("POST", "/v1/events/aws-1/resend").status == 400
    assert call("POST", "/v1/events/aws-1/resend", {"data": {}}).status == 200


def test_a_rejection_starts_who_listens_for_it(call: Caller) -> None:
    declare(call, LISTENER, WELCOME)
    kept = rejected(call, id=3)
    (run,) = call.get("/v1/runs").data
    assert run["function_id"] == "shop.alert"
    (announced,) = call.get(f"/v1/events?name={REJECTED}").data
    assert announced["data"]["id"] == kept.id
    assert announced["data"]["source"] == "legacy"
