"""An event costs the same with ten waiting runs and ten functions as with thousands: counted calls, units and sizes.

What is asked is found by its key, so nothing read or written for one event depends on how much else there is. The
numbers here show it for thousands; a million adds nothing but partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from support.doubles import Queue

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.dynamo.events import DynamoEvents
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.registry import DynamoRegistry, register
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.waits import DynamoWaits
from tidemill.core import match
from tidemill.engine.intake import receive
from tidemill.engine.intake.receive import DirectBus
from tidemill.model import FINISHED, Event, EventTrigger, FunctionSpec, Wait
from tidemill.ports import World
from tidemill_local.testing import moto
from tidemill_local.testing.machine import EPOCH, SeededEntropy, VirtualClock
from tidemill_local.testing.meter import Meter

FEW = (10, 10)
MANY = [pytest.param((200, 100), id="200-100"), pytest.param((5_000, 10_000), id="5000-10000", marks=pytest.mark.slow)]


@dataclass
class Place:
    world: World
    table: Table
    meter: Meter


def place(waiting: int, functions: int) -> Place:
    """A table with so many waiting runs, of as many orders, and so many functions."""
    meter = Meter(moto.MotoTransport())
    plain, metered = moto.client(), moto.client(meter)
    name, bucket = moto.fresh("scale"), moto.fresh("scale")
    moto.create_table(plain, name)
    moto.create_bucket(plain, bucket)
    clock = VirtualClock(EPOCH)
    quiet = Table(plain, name)
    for number in range(functions):
        declared = FunctionSpec(f"shop.f{number}", "shop", "f", (EventTrigger(f"order/{number}"),))
        register(quiet, declared, "stack/f", EPOCH)
    waits, paths = DynamoWaits(quiet), DynamoEvents(quiet, S3Blobs(plain, bucket))
    paths.add_path("order/paid", "data.id", EPOCH)
    for number in range(waiting):
        waits.put(wait(number))
    table = Table(metered, name)
    blobs = S3Blobs(metered, bucket)
    world = World(
        DynamoRuns(table, blobs, clock), DynamoEvents(table, blobs), DynamoWaits(table), blobs, Queue(), DirectBus(),
        DynamoRegistry(table, clock), clock, SeededEntropy(0), None, DynamoFlow(table),
    )  # type: ignore[arg-type]  # fmt: skip
    return Place(world, table, meter)


def wait(number: int) -> Wait:
    condition = match.resolve({"data": {"id": number}}, match="data.id")
    return Wait(f"run-{number}", "shop.f0", "paid", "order/paid", condition, after=EPOCH - 1)


def paid(number: int) -> Event:
    text = "x" * 380  # with all around it about 500 bytes
    return Event(f"event-{number}", "order/paid", {"id": number, "text": text}, EPOCH, EPOCH, {"id": "u1"})


def cost(place: Place, event: Event) -> dict[str, Any]:
    """What it takes to keep an event, to find who waits for it, and to learn that nobody listens for an end."""
    place.meter.clear()
    receive.wake_on(place.world, event, None, keys=receive.store(place.world, event))
    listeners = place.world.registry.listeners(FINISHED)
    awaited = place.world.waits.awaited(FINISHED)
    meter = place.meter
    return {
        "listeners": len(listeners), "awaited": awaited, "calls": meter.summary(),
        "writes": meter.write_units, "index": meter.index_units, "reads": meter.read_units,
    }  # fmt: skip


@pytest.mark.parametrize("many", MANY)
def test_an_event_costs_the_same_with_many_waits_and_functions(many: tuple[int, int]) -> None:
    few, much = place(*FEW), place(*many)
    for event in (paid(7), paid(10**9)):  # one run waits for the first, none for the second
        assert cost(few, event) == cost(much, event)
    for key in (("AWAITED#order/paid#0", "#"), ("FUNCTIONS", "shop.f0")):
        assert few.table.get(*key) is not None
        assert much.table.get(*key) == few.table.get(*key), "no item grows with how many there are"


@pytest.mark.parametrize("many", MANY)
def test_a_function_is_found_and_called_at_the_same_cost(many: tuple[int, int]) -> None:
    def look(place: Place) -> dict[str, Any]:
        place.meter.clear()
        registry = place.world.registry
        specs = [registry.function("shop.f3"), *registry.listeners("order/3"), *registry.listeners("no/such")]
        return {
            "found": [spec and spec.id for spec in specs],
            "calls": place.meter.summary(),
            "reads": place.meter.read_units,
        }

    assert look(place(*FEW)) == look(place(*many))


def test_what_an_event_costs() -> None:
    """Four write units: the event, its pointer, and its entries in the indexes of all events and of its user."""
    there = place(0, 0)
    event = Event("e", "user/signed.up", paid(1).data, EPOCH, EPOCH, {"id": "u1"})
    receive.wake_on(there.world, event, None, keys=receive.store(there.world, event))
    meter = there.meter
    assert meter.summary() == {"dynamodb PutItem": 2, "dynamodb GetItem": 1}
    assert (meter.write_units, meter.index_units, meter.read_units) == (2, 2, 1)
    meter.clear()  # of a name that is awaited by one path
    receive.wake_on(there.world, paid(1), None, keys=receive.store(there.world, paid(1)))
    assert meter.summary() == {"dynamodb PutItem": 3, "dynamodb GetItem": 1, "dynamodb Query": 1}
    assert (meter.write_units, meter.index_units, meter.read_units) == (3, 2, 2)
    meter.clear()
    there.world.events.put(event, ())  # told again
    assert meter.write_units <= 1


def test_what_a_wait_costs() -> None:
    there = place(0, 0)
    there.world.waits.put(wait(1))
    assert (there.meter.write_units, there.meter.index_units) == (2, 0)
    there.meter.clear()
    there.world.waits.drop("run-1", "paid")
    assert (there.meter.write_units, there.meter.index_units, there.meter.read_units) == (2, 0, 1)
    there.meter.clear()
    there.world.waits.drop("run-1")
    assert there.meter.summary() == {"dynamodb Query": 1}


def test_items_are_small() -> None:
    there = place(1, 1)
    receive.store(there.world, paid(0))
    keys = ("EVENT#event-0", "AWAITED#order/paid#0", "RUN#run-0")
    items = [item for key in keys for item in there.table.query(key)]
    assert len(items) == 3
    assert max(item_size(item) for item in items) <= 1_024
