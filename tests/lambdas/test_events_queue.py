"""What a message of the events queue does, over stores in memory."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from support.doubles import NOW

from tidemill.core.journal import Resolved
from tidemill.engine.intake import receive
from tidemill.engine.runs import match_waits
from tidemill.errors import Unavailable
from tidemill.limits import EVENT_ID_MEMORY, MESSAGE_DELAY, SKEW
from tidemill.model import REJECTED, Condition, Event, EventSchema, FunctionSpec, Wait
from tidemill.ports import EventQuery, World
from tidemill_lambdas import events
from tidemill_lambdas.sweeper import delayed as sweeping
from tidemill_local.server.registry import LocalRegistry

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
    match_waits.register(world, [Wait(run, SPEC.id, "w", "paid", Condition(), after=0) for run in runs])
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
    (kept,) = mill.events.page(EventQuery(rejected=True))
    assert told == [kept, kept]
    assert (kept.id, kept.name) == ("11111111-2222", "paid")  # as whoever put it was told
    assert kept.rejected is not None
    assert [error["loc"] for error in kept.rejected.errors] == [["id"], ["data"]]
    assert kept.rejected.body == {"name": "paid", "data": 3, "id": ""}
    assert mill.events.page(EventQuery()) == []
    assert bus.events == []  # nobody listens


def typed(world: World) -> None:
    """Version 1 of `paid` has a whole number `n`, and nothing else."""
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    assert isinstance(world.registry, LocalRegistry)
    world.registry.replace([SPEC], "v1", [EventSchema("paid", "1", json.dumps(schema))])


def test_a_foreign_event_that_does_not_fit_its_schema_is_kept_as_rejected(mill: World, bus: Published) -> None:
    typed(mill)
    (run_id,) = waiting(mill, 1)
    told: list[Event] = []
    for _ in range(2):
        work(mill, body({"n": "one"}, source="legacy.shop"), rejected=told.append)
    (kept,) = mill.events.page(EventQuery(rejected=True))
    assert told == [kept, kept]
    assert (kept.id, kept.name) == ("11111111-2222", "paid")
    assert kept.rejected is not None
    assert kept.rejected.error.startswith("the event paid does not fit its schema: data.n: ")
    assert [(error["index"], error["loc"]) for error in kept.rejected.errors] == [(0, ["data", "n"])]
    assert kept.rejected.body == {"n": "one"}
    assert (bus.events, resolved(mill, run_id)) == ([], [])


def test_a_foreign_event_that_fits_is_published_with_the_version_of_its_schema(mill: World, bus: Published) -> None:
    typed(mill)
    work(mill, body({"n": 1}, source="legacy.shop"))
    (event,) = bus.events
    assert (event.data, event.v) == ({"n": 1}, "1")
    assert mill.events.page(EventQuery(rejected=True)) == []


def test_a_rejection_is_announced_to_who_waits_for_it(mill: World, bus: Published) -> None:
    match_waits.register(mill, [Wait("run", SPEC.id, "w", REJECTED, Condition(), after=0)])
    work(mill, body({"name": "paid", "data": 3}, source="legacy.shop"))
    assert [event.name for event in bus.events] == [REJECTED]


@pytest.mark.parametrize("text", ["no json", "{}", body({"n": 1})])
def test_what_cannot_be_read_raises_a_sentence(mill: World, text: str) -> None:
    with pytest.raises(ValueError, match=r"no event of EventBridge|says that it is from"):
        work(mill, text)


def later(ts: int, id: str = "e1") -> str:
    return body({"id": id, "name": "paid", "data": {"n": 1}, "ts": ts, "received_at": NOW})


class Delays:
    """Messages to the events queue, each with the seconds for which it is held back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def __call__(self, body: str, seconds: int) -> None:
        self.sent.append((body, seconds))


def passes(world: World, ms: int) -> None:
    world.clock.ms += ms  # type: ignore[attr-defined]


def test_a_delayed_event_wakes_nobody_before_its_ts(mill: World) -> None:
    (run_id,) = waiting(mill, 1)
    delays = Delays()
    work(mill, later(NOW + 90_500), delay=delays)
    assert resolved(mill, run_id) == []
    ((message, seconds),) = delays.sent
    assert seconds == 91
    passes(mill, 90_499)
    work(mill, message, delay=delays)
    assert resolved(mill, run_id) == []
    assert delays.sent[1:] == [(message, 1)]
    passes(mill, 1)
    work(mill, message, delay=delays)
    assert len(resolved(mill, run_id)) == 1


def test_a_delayed_event_is_seen_to_once_more_for_clocks_differ(mill: World) -> None:
    delays = Delays()
    work(mill, later(NOW + 1_000), delay=delays)
    passes(mill, 1_000)
    (message, _), *_ = delays.sent
    work(mill, message)
    (run_id,) = waiting(mill, 1)  # registered by a process whose clock says that the event lies ahead
    assert mill.events.delayed(NOW + 1_000 + SKEW, 9) == [("e1", NOW + 1_000 + SKEW)]
    passes(mill, SKEW)
    work(mill, message)
    assert len(resolved(mill, run_id)) == 1
    assert mill.events.delayed(NOW * 2, 9) == []


def test_a_delayed_event_with_very_many_waiters_wakes_them_in_parts(mill: World) -> None:
    runs = waiting(mill, 5)
    delays = Delays()
    work(mill, later(NOW + 1_000), delay=delays)
    passes(mill, 1_000)
    messages = [delays.sent[0][0]]
    parts = 0
    while messages:
        messages = work(mill, messages[0], stopping=lambda: True)
        parts += 1
    assert parts == 6
    assert all(len(resolved(mill, run_id)) == 1 for run_id in runs)
    assert mill.events.delayed(NOW + 1_000, 9) == []


def test_what_lies_further_ahead_is_left_to_the_sweep(mill: World) -> None:
    due = NOW + MESSAGE_DELAY + 1
    (run_id,) = waiting(mill, 1)
    delays = Delays()
    work(mill, later(due), delay=delays)
    assert delays.sent == []
    passes(mill, due - NOW - sweeping.SOON - 1)
    assert sweeping.sweep(mill, lambda: True, delays) == []
    assert delays.sent == []
    passes(mill, 1)
    for _ in range(2):  # a minute later there is nothing more to send
        assert sweeping.sweep(mill, lambda: True, delays) == []
    ((message, seconds),) = delays.sent
    assert seconds == sweeping.SOON // 1_000
    passes(mill, sweeping.SOON + sweeping.AGAIN)  # that message was lost
    sweeping.sweep(mill, lambda: True, delays)
    assert delays.sent[1:] == [(message.replace(str(due), str(due + sweeping.AGAIN)), 0)]
    work(mill, delays.sent[1][0])
    assert len(resolved(mill, run_id)) == 1


def test_a_sweep_that_cannot_send_says_so_and_goes_on(mill: World) -> None:
    for n in range(2):
        work(mill, later(NOW + 1_000, f"e{n}"))
    sent = Delays()

    def delay(body: str, seconds: int) -> None:
        if '"e0"' in body:
            raise Unavailable("SQS did not answer")
        sent(body, seconds)

    problems = sweeping.sweep(mill, lambda: True, delay)
    assert problems == ["event e0: SQS did not answer"]
    assert len(sent.sent) == 1
    assert mill.events.delayed(NOW + 1_000, 9) == [("e0", NOW + 1_000)]


def test_a_delayed_event_cancels_at_its_ts(mill: World) -> None:
    run_id = receive.invoke(mill, SPEC, b"{}", run_id="run")
    match_waits.register(mill, [Wait(run_id, SPEC.id, "c", "paid", Condition(), after=0, cancel=True)])
    delays = Delays()
    work(mill, later(NOW + 1_000), delay=delays)
    head = mill.runs.head(run_id)
    assert head is not None
    assert head.status == "scheduled"
    passes(mill, 1_000)
    work(mill, delays.sent[0][0])
    head = mill.runs.head(run_id)
    assert head is not None
    assert head.status == "cancelled"
