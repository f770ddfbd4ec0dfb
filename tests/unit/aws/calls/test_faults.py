"""What AWS may do to a call, and that the stores lose nothing by it: who is refused asks again, and all is as it was.

A caller that meets `Unavailable` does what the engine does: the whole thing once more.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from support.faults import Faults, FaultyTransport

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.registry import DynamoRegistry, register, unregister
from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.errors import Unavailable
from tidemill.model import FINISHED, Condition, Event, EventTrigger, FunctionSpec, Wait
from tidemill.ports import EventQuery
from tidemill_local.testing import moto
from tidemill_local.testing.aws import MotoBus

NOW = 1_790_000_000_000
# By how often the client itself tries. Where it tries once, what takes twenty calls must have a chance, too.
FAULTS = {1: Faults(0.03, 0.03, 0.03, 0.05, 0.5), 8: Faults(0.1, 0.1, 0.1, 0.15, 0.5)}
T = TypeVar("T")


class Stores:
    def __init__(self, seed: int, tries: int) -> None:
        calm = moto.client()
        self.name = moto.fresh("faults")
        moto.create_table(calm, self.name)
        moto.create_bucket(calm, self.name)
        self.faults = FaultyTransport(moto.MotoTransport(), random.Random(seed), FAULTS[tries])
        self.client = moto.client(self.faults, sleep=lambda _: None, draw=lambda: 0.0, tries=tries)
        self.table = Table(self.client, self.name)
        self.blobs = S3Blobs(self.client, self.name)
        self.events = DynamoEvents(self.table, self.blobs)
        self.waits = DynamoWaits(self.table)


def insisted(work: Callable[..., T], *args: Any) -> T:
    """Until it is done. As in a new process, which remembers nothing, it is all done again."""
    for _ in range(200):
        try:
            return work(*args)
        except Unavailable:
            continue
    raise AssertionError("two hundred times in a row is no accident")


@pytest.fixture(params=[(seed, tries) for seed in range(3) for tries in (1, 8)], ids=str)
def stores(request: pytest.FixtureRequest) -> Stores:
    return Stores(*request.param)


def test_events(stores: Stores) -> None:
    events = [
        Event(f"e{n}", "n", {"x": n % 2, "text": "y" * (90_000 if n == 3 else 9)}, NOW, NOW + n, {"id": "u"})
        for n in range(12)
    ]
    insisted(stores.events.add_path, "n", "data.x", NOW)
    for event in events:
        insisted(stores.events.put, event, ())
        insisted(stores.events.put, event, [("data.x", f"h{event.data['x']}"), ("data.z", "h")])
        insisted(stores.events.put, Event(event.id, "n", {}, NOW, NOW + 99), [("data.x", "h0")])
    assert insisted(stores.events.paths, "n") == {"data.x": NOW}
    assert insisted(stores.events.by_key, "n", "data.x", "h1", NOW, NOW * 2, 99) == events[1::2]
    assert insisted(stores.events.by_key, "n", "data.z", "h", 0, NOW * 2, 99) == events
    assert insisted(stores.events.by_name, "n", NOW, NOW + 7, 99) == events[1:8]
    for query in (EventQuery(), EventQuery(name="n"), EventQuery(user="u")):
        assert insisted(stores.events.page, query) == events[::-1]
    assert [insisted(stores.events.get, event.id) for event in events] == events
    assert stores.faults.met


def test_waits(stores: Stores) -> None:
    kinds = [(name, condition) for name in ("n", FINISHED) for condition in (Condition("data.x", "h"), Condition())]
    put = {
        kind: [Wait(f"r{n}", "f", f"{step}{number}", *kind, NOW) for n in range(5) for step in ("a", "b")]
        for number, kind in enumerate(kinds)
    }
    for waits in put.values():
        for wait in waits:
            insisted(stores.waits.put, wait)
    for (name, condition), expected in put.items():
        found: list[Wait] = []
        while page := insisted(stores.waits.find, name, condition.path, condition.hash, _last(found), 3):
            found += page
        assert sorted(map(_of, found)) == sorted(map(_of, expected))
    assert insisted(stores.waits.awaited, FINISHED)
    for n in range(5):
        insisted(stores.waits.drop, f"r{n}", "a0")
        insisted(stores.waits.drop, f"r{n}")
    assert not insisted(stores.waits.awaited, FINISHED)
    stores.faults.calm()
    assert _everything(stores) == [], "a wait that is dropped leaves nothing behind"


def test_blobs(stores: Stores) -> None:
    data = [bytes([n]) * n * 1_000 for n in range(20)]
    names = [insisted(stores.blobs.put, one) for one in data]
    assert [insisted(stores.blobs.get, name) for name in names] == data


def test_the_registry(stores: Stores) -> None:
    specs = [FunctionSpec(f"s.f{n}", "s", "f", (EventTrigger("a"), EventTrigger(f"b{n}*"))) for n in range(6)]
    for spec in specs:
        insisted(register, stores.table, spec, "stack/f", NOW)
    registry = DynamoRegistry(stores.table)
    assert insisted(registry.functions) == specs
    assert insisted(registry.listeners, "a") == specs
    assert insisted(registry.listeners, "b3x") == [specs[3]]
    for spec in specs:
        insisted(unregister, stores.table, spec.id, "stack/f")
    stores.faults.calm()
    assert _everything(stores) == []


def test_the_bus(stores: Stores) -> None:
    events = [Event(f"e{n}", "n", {"n": n}, NOW, NOW) for n in range(25)]
    arriving = MotoBus(moto.client(), stores.name)
    bus = EventBridgeBus(stores.client, stores.name, sleep=lambda _: None)
    insisted(bus.publish, events)
    arrived = {event.id for event in arriving._arrived()}
    assert arrived == {event.id for event in events}


def _of(wait: Wait) -> tuple[str, str]:
    return wait.run_id, wait.key


def _last(found: list[Wait]) -> tuple[str, str] | None:
    return _of(found[-1]) if found else None


def _everything(stores: Stores) -> list[Any]:
    return list(stores.client.call("dynamodb", "Scan", {"TableName": stores.name})["Items"])
