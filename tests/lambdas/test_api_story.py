"""The story of a person: events and runs in one list, page by page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from support.doubles import NOW

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.transport import Reply, Request
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.table import Table
from tidemill.model import Event
from tidemill_local.store.database import Database
from tidemill_local.testing import moto

if TYPE_CHECKING:
    from conftest import Caller

    from tidemill.ports import EventStore

ANN = {"id": "ann", "email": "a@b.c"}


def story(call: Caller, user: str, limit: int = 50, query: str = "") -> list[tuple[str, str]]:
    """The type and the id of each row, read page by page."""
    found: list[tuple[str, str]] = []
    cursor = ""
    while True:
        answer = call.get(f"/v1/users/{user}/story?limit={limit}{query}{cursor}")
        assert answer.status == 200, answer.text
        assert len(answer.data) <= limit
        found += [(row["type"], _id(row)) for row in answer.data]
        if answer.json["cursor"] is None:
            return found
        cursor = f"&cursor={answer.json['cursor']}"


def _id(row: dict[str, Any]) -> str:
    found: str = row["event"]["id"] if row["type"] == "event" else row["run"]["run_id"]
    return found


def test_a_story_has_the_events_and_the_runs_of_one_person(call: Caller) -> None:
    expected: list[tuple[str, str]] = []
    for number in range(4):
        call.world.clock.sleep(number % 2)  # type: ignore[attr-defined]
        (event_id,) = call.send({"name": "user/signed.up", "id": f"e{number}", "user": ANN})
        expected += [("event", event_id), *(("run", run_id) for run_id in call.runs_of(event_id))]
    call.send({"name": "user/signed.up", "id": "other", "user": {"id": "bob"}})
    call.send({"name": "user/signed.up", "id": "nobody"})
    whole = story(call, "ann")
    assert sorted(whole) == sorted(expected)
    for limit in (1, 2, 3, 8):
        assert story(call, "ann", limit) == whole
    assert ("event", "other") in story(call, "bob")


@pytest.mark.parametrize("user", ["a/story", "a?b", "a%2Fb", "ü@b.c"])
def test_a_key_of_any_kind_is_found_by_the_query(call: Caller, user: str) -> None:
    (event_id,) = call.send({"name": "user/left", "user": {"id": user}})
    answer = call.get(f"/v1/users/-/story?id={quote(user, safe='')}")
    assert [_id(row) for row in answer.data] == [event_id]


def test_an_unknown_person_has_an_empty_story(call: Caller) -> None:
    assert call.get("/v1/users/nobody/story").json == {"data": [], "cursor": None}


def test_a_cursor_of_another_list_is_refused(call: Caller) -> None:
    for number in range(3):
        call.send({"name": "user/left", "id": f"e{number}", "user": ANN})
        call.send({"name": "user/left", "id": f"f{number}", "user": {"id": "bob"}})
    cursor = call.get("/v1/users/ann/story?limit=1").json["cursor"]
    foreign = call.get("/v1/events?user=ann&limit=1").json["cursor"]
    assert call.get(f"/v1/users/bob/story?limit=1&cursor={cursor}").status == 400
    assert call.get(f"/v1/users/ann/story?limit=1&cursor={foreign}").status == 400
    assert call.get(f"/v1/users/ann/story?limit=1&cursor={cursor}").status == 200


def test_a_story_of_large_events_has_each_row_once(call: Caller) -> None:
    """The limit of an answer's bytes ends the list of events, not that of the runs."""
    text = "x" * 200_000
    for number in range(40):
        call.world.clock.sleep(1)  # type: ignore[attr-defined]
        call.send({"name": "user/signed.up", "id": f"e{number}", "user": ANN, "data": {"text": text}})
    found = story(call, "ann")
    events = [id for kind, id in found if kind == "event"]
    assert events == [f"e{number}" for number in reversed(range(40))]
    assert len(found) == len(set(found)) == 80
    assert [kind for kind, _ in found] == ["run", "event"] * 40
    assert story(call, "ann", 1_000) == story(call, "ann", 3) == found


# 10,000 events of one person page as fast as ten: what the stores do for a page is counted.

MANY = 10_000


def put(events: EventStore, user: str, count: int) -> None:
    for number in range(count):
        events.put(Event(f"{user}{number}", "user/left", {}, NOW, NOW + number, {"id": user}), ())


def pages_of(call: Caller, user: str) -> None:
    """The first page, and the second."""
    first = call.get(f"/v1/users/{user}/story?limit=5").json
    second = call.get(f"/v1/users/{user}/story?limit=5&cursor={first['cursor']}").json
    assert len(first["data"]) == len(second["data"]) == 5


def test_a_long_story_takes_sqlite_no_more_steps(call: Caller) -> None:
    with Database(":memory:") as database:
        call.world = dataclasses.replace(call.world, events=database.events, runs=database.runs)
        put(database.events, "ann", MANY)
        put(database.events, "bob", 11)
        steps = {user: _steps(database, call, user) for user in ("ann", "bob")}
    assert steps["ann"] <= steps["bob"] * 1.1


def _steps(database: Database, call: Caller, user: str) -> int:
    """The instructions of SQLite's machine."""
    ticks: list[None] = []
    database._connection.set_progress_handler(lambda: ticks.append(None), 1)  # type: ignore[func-returns-value]
    pages_of(call, user)
    database._connection.set_progress_handler(None, 0)
    return len(ticks)


def test_a_long_story_takes_dynamodb_no_more_calls(call: Caller) -> None:
    calls: list[str] = []
    answer = moto.MotoTransport()

    def transport(request: Request) -> Reply:
        calls.append(request.operation)
        return answer(request)

    client, name, bucket = moto.client(transport), moto.fresh("table"), moto.fresh("bucket")
    moto.create_table(client, name)
    moto.create_bucket(client, bucket)
    table, blobs = Table(client, name), S3Blobs(client, bucket)
    events = DynamoEvents(table, blobs)
    call.world = dataclasses.replace(call.world, events=events, runs=DynamoRuns(table, blobs, call.world.clock))
    asked = {}
    for user, count in (("bob", 11), ("ann", 400)):
        put(events, user, count)
        calls.clear()
        pages_of(call, user)
        asked[user] = sorted(calls)
    assert set(asked["ann"]) == {"Query", "BatchGetItem"}
    assert asked["ann"] == asked["bob"]
    client.call("dynamodb", "DeleteTable", {"TableName": name})
