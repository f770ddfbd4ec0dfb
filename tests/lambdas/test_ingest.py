"""Events come in: what is taken, kept and started."""

from __future__ import annotations

import base64
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import pytest
from support import http_api

from tidemill.limits import EVENT_ID_MEMORY
from tidemill.model import Event
from tidemill_lambdas import ingest

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000
WHOLE = {
    "name": "user/signed.up",
    "data": {"user_id": "u1", "plan": "pro"},
    "user": {"id": "u1", "email": "a@b.c"},
    "id": "signup-u1",
    "ts": NOW - 5,
    "v": "2026-11-01",
}


def test_an_event_is_kept_as_it_was_sent(call: Caller) -> None:
    answer = call.post("/e/key", WHOLE)
    assert (answer.status, answer.json) == (200, {"ids": ["signup-u1"], "status": 200})
    assert answer.headers["cache-control"] == "no-store"
    assert call.world.events.get("signup-u1") == Event(
        "signup-u1", "user/signed.up", WHOLE["data"], NOW - 5, NOW, WHOLE["user"], "2026-11-01"
    )


def test_what_is_left_out_is_filled_in(call: Caller) -> None:
    (event_id,) = call.post("/e/key", {"name": "x"}).json["ids"]
    assert len(event_id) == 26
    assert call.world.events.get(event_id) == Event(event_id, "x", {}, NOW, NOW)


def test_every_function_that_listens_runs(call: Caller) -> None:
    call.send(WHOLE)
    heads = call.world.runs.of_event("signup-u1")
    assert {head.function_id for head in heads} == {"shop.welcome", "shop.pro"}
    assert {head.user for head in heads} == {"u1"}


def test_an_array_is_answered_in_its_order(call: Caller) -> None:
    assert call.send({"name": "x", "id": "2"}, {"name": "y", "id": "1"}, {"name": "z", "id": "3"}) == ["2", "1", "3"]


def test_the_same_id_again_starts_nothing_and_the_first_content_stands(call: Caller) -> None:
    call.send(WHOLE)
    assert call.send({**WHOLE, "data": {"other": 1}}) == ["signup-u1"]
    kept = call.world.events.get("signup-u1")
    assert kept is not None
    assert kept.data == WHOLE["data"]
    assert len(call.world.runs.of_event("signup-u1")) == 2


@pytest.mark.parametrize("parts", range(6))
def test_sent_again_with_its_id_an_event_that_was_taken_in_part_starts_what_it_had_not(
    call: Caller, parts: int
) -> None:
    """A server that dies, or whose disk is full, between two parts has answered nothing, or 503."""
    body = msgspec.json.encode([WHOLE, {**WHOLE, "id": "signup-u2"}]).decode()
    request = {**http_api.event("POST", "/e/key", None, {}), "body": body}
    work = ingest.work(request, call.world, call.keys)
    assert len(list(islice(work, parts))) == parts
    work.close()
    assert call.send(WHOLE, {**WHOLE, "id": "signup-u2"}) == ["signup-u1", "signup-u2"]
    for event_id in ("signup-u1", "signup-u2"):
        assert {head.function_id for head in call.world.runs.of_event(event_id)} == {"shop.welcome", "shop.pro"}
        assert len(call.runs_of(event_id)) == 2


def test_what_an_id_starts_is_decided_by_its_first_content(call: Caller) -> None:
    call.send({**WHOLE, "data": {"plan": "free"}})
    call.send(WHOLE)
    assert {head.function_id for head in call.world.runs.of_event("signup-u1")} == {"shop.welcome"}


def test_an_event_of_the_platform_is_not_taken_in_by_its_id(call: Caller) -> None:
    event = Event("timer-1", "tidemill/timer", {}, NOW, NOW)
    assert call.world.events.put(event, ())
    assert call.send({"name": "user/signed.up", "id": "timer-1"}) == ["timer-1"]
    assert call.runs_of("timer-1") == []


def test_the_same_id_twice_in_one_request(call: Caller) -> None:
    assert call.send({"name": "user/signed.up", "id": "a"}, {"name": "other", "id": "a"}) == ["a", "a"]
    kept = call.world.events.get("a")
    assert kept is not None
    assert kept.name == "user/signed.up"
    assert len(call.runs_of("a")) == 1


def test_an_id_is_free_again_after_a_day(call: Caller) -> None:
    call.send({"name": "user/signed.up", "id": "a"})
    call.world.clock.ms += EVENT_ID_MEMORY + 1  # type: ignore[attr-defined]  # the clock of this test
    call.send({"name": "user/signed.up", "id": "a"})
    assert len(call.runs_of("a")) == 2


def test_an_event_of_the_future_delays_its_runs(call: Caller) -> None:
    (event_id,) = call.send({"name": "user/signed.up", "ts": NOW + 60_000})
    (head,) = call.world.runs.of_event(event_id)
    assert (head.status, head.not_before) == ("scheduled", NOW + 60_000)


@pytest.mark.parametrize("ts", ["1790000000000.0", "0", "1.79e12"])
def test_a_whole_number_is_one_however_it_is_written(call: Caller, ts: str) -> None:
    assert call.post("/e/key", f'{{"name": "x", "id": "a", "ts": {ts}}}').status == 200
    kept = call.world.events.get("a")
    assert kept is not None
    assert type(kept.ts) is int


@pytest.mark.parametrize(
    "text", ["é", "日本", "a\u2028b", "z\u200bw", '"quoted" \\ [{', "🚢", "x" * 256, "a/b c%d"], ids=range(8)
)
def test_names_and_ids_hold_any_text_without_control_characters(call: Caller, text: str) -> None:
    assert call.send({"name": text, "id": text, "v": text}) == [text]
    kept = call.world.events.get(text)
    assert kept is not None
    assert kept.name == text


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.1, 1e300])
def test_numbers_come_back_as_they_were(call: Caller, number: float) -> None:
    (event_id,) = call.send({"name": "user/signed.up", "data": {"n": number}})
    assert call.get(f"/v1/events/{event_id}").data["data"] == {"n": number}
    birth = call.world.runs.birth(call.runs_of(event_id)[0])
    assert birth is not None
    assert birth.events[0].data == {"n": number}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_is_json_whatever_the_content_type(call: Caller, content_type: str) -> None:
    assert call("POST", "/e/key", {"name": "x"}, headers={"content-type": content_type}).status == 200


def test_a_body_in_base64(call: Caller) -> None:
    body = base64.b64encode('[{"name": "é"}]'.encode()).decode()
    (event_id,) = call("POST", "/e/key", body, isBase64Encoded=True).json["ids"]
    kept = call.world.events.get(event_id)
    assert kept is not None
    assert kept.name == "é"


def test_space_around_the_json_is_nothing(call: Caller) -> None:
    assert call.post("/e/key", ' \r\n\t [{"name": "x"}] \n').status == 200


def test_five_thousand_events(call: Caller) -> None:
    assert len(set(call.send(*[{"name": "x"}] * 5_000))) == 5_000


def test_an_event_just_within_its_limit_among_others(call: Caller) -> None:
    large = {"name": "x", "data": {"text": "y" * (768 * 1024 - 32)}}
    assert call.post("/e/key", [large, {"name": "x"}, large]).status == 200


def test_nesting_up_to_the_limit(call: Caller) -> None:
    deep = '{"name": "x", "data": ' + '{"a":' * 98 + "[]" + "}" * 98 + "}"
    assert call.post("/e/key", deep).status == 200
    assert call.post("/e/key", f"[{deep}, {deep}]").status == 200


# --- webhooks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("github", "github"),
        ("github/push", "github/push"),
        ("github%2Fpush%20it", "github/push it"),
        ("a//b/", "a//b/"),
        ("%C3%A9", "é"),
    ],
)
def test_any_object_becomes_the_data_of_an_event(call: Caller, path: str, name: str) -> None:
    (event_id,) = call.post(f"/w/key/{path}?delivery=7", {"name": "theirs", "id": 5, "zen": True}).json["ids"]
    kept = call.world.events.get(event_id)
    assert kept is not None
    assert (kept.name, kept.data) == (name, {"name": "theirs", "id": 5, "zen": True})


def test_a_webhook_starts_runs(call: Caller) -> None:
    (event_id,) = call.post("/w/key/user/signed.up", {}).json["ids"]
    assert len(call.runs_of(event_id)) == 1
