"""What a message of the events queue does, over stores in memory."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from lambdas.conftest import NOW

from tidemill.core.journal import Resolved
from tidemill.execute import lookback, receive
from tidemill.limits import EVENT_ID_MEMORY
from tidemill.model import REJECTED, Condition, Event, FunctionSpec, Wait
from tidemill.ports import EventQuery, World
from tidemill_lambdas import events

SPEC = FunctionSpec("shop.charge", "shop", "charge")


class Published:
    """A bus whose events go nowhere."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, events: Any) -> None:
        self.events += events


@pytest.fixture
def bus() -> Published:
    return Published()


@pytest.fixture
def mill(world: World, bus: Published) -> World:
    return dataclasses.replace(world, bus=bus)


def body(detail: Any, name: str = "paid", source: str = "tidemill", id: str = "11111111-2222") -> str:
    return json.dumps(
        {
            "version": "0",
            "id": id,
            "source": source,
            "detail-type": name,
            "time": "2026-09-21T14:13:19Z",
            "detail": detail,
        }
    )


def ours(id: str = "e1", data: dict[str, Any] | None = None, received_at: int = NOW) -> str:
    return body({"id": id, "name": "paid", "data": data or {"n": 1}, "ts": NOW, "received_at": received_at})


def work(world: World, text: str, **options: Any) -> list[str]:
    sent: list[str] = []
    events.work(text, world, later=sent.append, **options)
    return sent


def waiting(world: World, count: int) -> list[str]:
    runs = [receive.invoke(world, SPEC, b"{}", run_id=f"run{n:03d}") for n in range(count)]
    lookback.register(world, [Wait(run, SPEC.id, "w", "paid", Condition(), after=0) for run in runs])
    return runs


def resolved(world: World, run_id: str) -> list[Resolved]:
    return [record for record in world.runs.read(run_id) if isinstance(record, Resolved)]


def test_an_event_of_ours_is_stored_and_starts_nothing_here(mill: World) -> None:
    work(mill, ours())
    assert mill.events.get("e1") == Event("e1", "paid", {"n": 1}, NOW, NOW)
    assert mill.runs.of_event("e1") == []


def test_who_waits_is_woken_once_however_often_the_message_comes(mill: World) -> None:
    (run_id,) = waiting(mill, 1)
    work(mill, ours())
    work(mill, ours())
    (record,) = resolved(mill, run_id)
    assert record.event is not None
    assert record.event.id == "e1"


def test_a_known_id_changes_nothing_and_is_forgotten_after_a_day(mill: World) -> None:
    work(mill, ours())
    (run_id,) = waiting(mill, 1)
    work(mill, ours(data={"n": 2}, received_at=NOW + 5))
    stored = mill.events.get("e1")
    assert stored is not None
    assert stored.data == {"n": 1}
    assert resolved(mill, run_id) == []
    mill.clock.ms = NOW + EVENT_ID_MEMORY + 1  # type: ignore[attr-defined]
    work(mill, ours(data={"n": 2}, received_at=NOW + EVENT_ID_MEMORY + 1))
    assert [record.event.data for record in resolved(mill, run_id)] == [{"n": 2}]


def test_very_many_waiters_are_woken_in_parts(mill: World) -> None:
    runs = waiting(mill, 25)
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked % 10 == 0

    messages = work(mill, ours(), stopping=stopping)
    parts = 1
    while messages:
        (message,) = messages
        messages = work(mill, message, stopping=stopping)
        parts += 1
    assert parts == 3
    assert all(len(resolved(mill, run_id)) == 1 for run_id in runs)


def test_a_foreign_event_is_published_as_ours_and_not_stored_yet(mill: World, bus: Published) -> None:
    work(mill, body({"n": 1}, source="legacy.shop"))
    (event,) = bus.events
    assert (event.id, event.name, event.data, event.received_at) == ("11111111-2222", "paid", {"n": 1}, NOW)
    assert mill.events.get(event.id) is None


def test_a_foreign_event_that_is_none_is_kept_as_rejected_and_starts_nothing(mill: World, bus: Published) -> None:
    told: list[Event] = []
    for _ in range(2):
        work(mill, body({"name": "paid", "data": 3, "id": ""}, source="legacy.shop"), rejected=told.append)
    (kept,) = mill.events.page(EventQuery(name=REJECTED))
    assert told == [kept, kept]
    assert kept.id == "11111111-2222"  # as whoever put it was told
    assert kept.data["source"] == "legacy.shop"
    assert [error["loc"] for error in kept.data["errors"]] == [["id"], ["data"]]
    assert json.loads(kept.data["detail"]) == {"name": "paid", "data": 3, "id": ""}
    assert bus.events == []  # nobody listens


def test_a_rejection_is_announced_to_who_waits_for_it(mill: World, bus: Published) -> None:
    lookback.register(mill, [Wait("run", SPEC.id, "w", REJECTED, Condition(), after=0)])
    work(mill, body({"name": "paid", "data": 3}, source="legacy.shop"))
    assert [event.name for event in bus.events] == [REJECTED]


@pytest.mark.parametrize("text", ["no json", "{}", body({"n": 1})])
def test_what_cannot_be_read_raises_a_sentence(mill: World, text: str) -> None:
    with pytest.raises(ValueError, match=r"no event of EventBridge|says that it is from"):
        work(mill, text)
