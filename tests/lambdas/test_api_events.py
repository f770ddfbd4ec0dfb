"""Events, listed and looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import http_api
from support.odd_ids import ELSEWHERE, IN_A_PATH, in_a_path, in_the_query

from tidemill_lambdas import api

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000


def tick(call: Caller, ms: int = 1) -> None:
    call.world.clock.ms += ms  # type: ignore[attr-defined]  # the clock of this test


def send_three(call: Caller) -> None:
    for number, name in enumerate(["a", "b", "a"]):
        call.send({"name": name, "id": str(number), "user": {"id": f"u{number % 2}"}})
        tick(call)


def listed(call: Caller, query: str = "") -> list[str]:
    answer = call.get(f"/v1/events{query}")
    assert answer.status == 200, answer.text
    return [event["id"] for event in answer.data]


def test_an_event_as_it_is_shown(call: Caller) -> None:
    call.send({"name": "x/y", "data": {"n": 1}, "user": {"id": "u1"}, "id": "a", "ts": NOW - 1, "v": "2"})
    assert call.get("/v1/events/a").json == {
        "data": {
            "id": "a",
            "name": "x/y",
            "data": {"n": 1},
            "user": {"id": "u1"},
            "ts": NOW - 1,
            "v": "2",
            "received_at": "2026-09-21T14:13:20.000Z",
            "data_context": None,
            "rejected": None,
        }
    }


@pytest.mark.parametrize("event_id", IN_A_PATH)
def test_an_id_in_a_path_is_decoded_once(call: Caller, event_id: str) -> None:
    call.send({"name": "user/signed.up", "id": event_id})
    assert call.get(in_a_path(event_id)).data["id"] == event_id
    assert len(call.get(in_a_path(event_id, "/runs")).data) == 1


@pytest.mark.parametrize("event_id", [*IN_A_PATH, *ELSEWHERE])
def test_every_id_is_found_by_the_query(call: Caller, event_id: str) -> None:
    call.send({"name": "user/signed.up", "id": event_id})
    assert call.get(in_the_query(event_id)).data["id"] == event_id
    assert len(call.get(in_the_query(event_id, "/runs")).data) == 1


def test_an_id_in_both_places_is_refused(call: Caller) -> None:
    answer = call.get("/v1/events/a?id=b")
    assert answer.status == 400
    assert "?id=" in answer.json["error"]


def test_a_path_that_is_no_text_is_refused(call: Caller) -> None:
    path = "/v1/events/%FF"
    answer = call("GET", "/v1/events/a", rawPath=path)  # as the dev server hands it over
    assert answer.status == 400
    assert "UTF-8" in answer.json["error"]


def test_lists_are_newest_first(call: Caller) -> None:
    send_three(call)
    assert listed(call) == ["2", "1", "0"]
    assert call.get("/v1/events").json["cursor"] is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("?name=a", ["2", "0"]),
        ("?user=u0", ["2", "0"]),
        ("?user=u1&name=a", []),
        ("?name=nothing", []),
        ("?user=nobody", []),
        ("?name=", []),
        (f"?after={NOW}", ["2", "1"]),
        ("?after=2026-09-21T14:13:20.001Z", ["2"]),
        ("?after=2026-09-21T14:13:20.001", ["2"]),
        ("?after=2026-09-21T16:13:20.001%2B02:00", ["2"]),
        ("?after=2026-09-21T16:13:20.001+02:00", ["2"]),
        ("?after=2026-09-21", ["2", "1", "0"]),
        ("?after=2027-01-01", []),
        (f"?before={NOW + 2}", ["1", "0"]),
        (f"?order=oldest&before={NOW + 2}&after={NOW - 1}", ["0", "1"]),
        ("?order=oldest", ["0", "1", "2"]),
        ("?order=newest", ["2", "1", "0"]),
        ("?after=1969-12-31", ["2", "1", "0"]),
        ("?after=0001-01-01T00:00:00%2B23:59", ["2", "1", "0"]),
        ("?limit=2", ["2", "1"]),
    ],
)
def test_filters(call: Caller, query: str, ids: list[str]) -> None:
    send_three(call)
    assert listed(call, query) == ids


def test_pages_follow_each_other(call: Caller) -> None:
    call.send(*({"name": "x", "id": str(number)} for number in range(7)))
    call.send({"name": "y"})
    seen: list[str] = []
    cursor = ""
    for expected in (3, 3, 1):
        answer = call.get(f"/v1/events?name=x&limit=3{cursor}")
        assert len(answer.data) == expected
        seen += [event["id"] for event in answer.data]
        cursor = f"&cursor={answer.json['cursor']}"
    assert answer.json["cursor"] is None
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_page_that_is_just_full_is_the_last(call: Caller) -> None:
    call.send({"name": "x"}, {"name": "x"})
    assert call.get("/v1/events?limit=2").json["cursor"] is None


def test_a_cursor_is_good_for_its_own_list_only(call: Caller) -> None:
    call.send(*[{"name": "user/signed.up", "id": str(number)} for number in range(3)])
    cursor = call.get("/v1/events?limit=1&name=user/signed.up").json["cursor"]
    assert call.get(f"/v1/events?limit=2&name=user/signed.up&cursor={cursor}").status == 200
    for target in (
        f"/v1/events?cursor={cursor}",
        f"/v1/events?name=other&cursor={cursor}",
        f"/v1/events?name=user/signed.up&user=u1&cursor={cursor}",
        f"/v1/runs?cursor={cursor}",
        f"/v1/events?name=user/signed.up&cursor={cursor}=",
        f"/v1/events?name=user/signed.up&cursor={cursor[:-1]}",
        f"/v1/events?name=user/signed.up&cursor={cursor}.",
    ):
        answer = call.get(target)
        assert answer.status == 400, target
        assert "cursor" in answer.json["error"]


def test_the_runs_of_an_event(call: Caller) -> None:
    call.send({"name": "user/signed.up", "id": "a", "data": {"plan": "pro"}}, {"name": "nobody listens", "id": "b"})
    answer = call.get("/v1/events/a/runs")
    assert {run["function_id"] for run in answer.data} == {"shop.welcome", "shop.pro"}
    assert answer.json["cursor"] is None
    assert call.get("/v1/events/b/runs").json == {"data": [], "cursor": None}


@pytest.mark.parametrize("path", ["/v1/events/unknown", "/v1/events/unknown/runs"])
def test_an_unknown_event(call: Caller, path: str) -> None:
    assert call.get(path).status == 404


def test_signals_are_no_events_to_look_at(call: Caller) -> None:
    call.post("/v1/signals", {"signal": "go"})
    assert listed(call) == []


@pytest.mark.parametrize("query", ["order=up", "order=", "before=soon", "before=", "order=oldest&order=oldest"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/runs"])
def test_an_order_or_a_time_that_is_none_is_refused(call: Caller, path: str, query: str) -> None:
    answer = call.get(f"{path}?{query}")
    assert answer.status == 400
    assert answer.json["error"].split()[0] in ("order", "before", "the")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/runs"])
def test_a_cursor_belongs_to_its_order_and_its_times(call: Caller, path: str) -> None:
    for _ in range(3):
        call.send({"name": "user/signed.up"})
    cursor = call.get(f"{path}?order=oldest&limit=1").json["cursor"]
    assert call.get(f"{path}?order=oldest&limit=2&cursor={cursor}").status == 200
    for other in ("order=newest", "order=oldest&before=5", "limit=1"):
        answer = call.get(f"{path}?{other}&cursor={cursor}")
        assert (answer.status, "this cursor is of another list" in answer.json["error"]) == (400, True)


def test_what_hangs_on_an_event_takes_its_own_methods_only(call: Caller) -> None:
    """An id that ends so stands in the query."""
    call.send({"name": "x", "id": "a/resend"})
    for path, method, allowed in (("resend", "GET", "POST"), ("runs", "POST", "GET, HEAD")):
        answer = api.handle(http_api.event(method, f"/v1/events/a/{path}?id=a"), call.world, call.keys)
        assert (answer["statusCode"], answer["headers"]["allow"]) == (405, allowed)
    assert call.get("/v1/events/-?id=a/resend").data["id"] == "a/resend"
