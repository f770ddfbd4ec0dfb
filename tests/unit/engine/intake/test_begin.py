"""A run whose executor takes the event itself is born claimed, in one write, and only once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tidemill import App, CancelOn, Context, Cron, Event
from tidemill.core.journal import Cancelled, Claimed, Started, StepTried
from tidemill.engine.drive.begin import arrive, tick
from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import receive
from tidemill.model import CronTrigger
from tidemill.model import Event as Received
from tidemill_local.testing.machine import EPOCH, Machine, VirtualClock
from tidemill_local.testing.stores import InMemory

UNTIL = EPOCH + 300_000

app = App("shop")


@app.function(
    on=Event("order/placed", when="event.data.total > 10"), cancel_on=[CancelOn("order/dropped", match="data.id")]
)
def pack(ctx: Context) -> Any:
    return ctx.step.run("weigh", lambda: 3)


@app.function(on=[Cron("0 9 * * *")])
def tidy(ctx: Context) -> str:
    return ctx.event.name


class Creations:
    """The run store, with the number of records of each run that was created; `deaf`: the first looks failed."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs
        self.created: list[int] = []
        self.deaf = False

    def create(self, head: Any, records: Any) -> bool:
        created = self._runs.create(head, records)
        self.created.append(len(records))
        return created and not self.deaf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)


@pytest.fixture
def machine() -> Machine:
    machine = Machine(InMemory(), VirtualClock(EPOCH), 1, False)
    machine.load(dict(app.functions))
    return machine


def world_of(machine: Machine) -> tuple[Any, Creations]:
    class Alive:
        def alive(self, claim: Claimed, now: int) -> bool:
            return now <= claim.until

    runs = Creations(machine.world.runs)
    return dataclasses.replace(machine.world, runs=runs, liveness=Alive()), runs


def order(total: int = 20, ts: int = EPOCH) -> Received:
    return Received("e1", "order/placed", {"id": "o1", "total": total}, ts, EPOCH)


def run(machine: Machine, world: Any, opened: Opened) -> None:
    drive(
        machine.functions[opened.spec.id], opened, StoreKeeper(world), world.clock, world.entropy,
        stopping=lambda: False, threads=False, stubs={},
    )  # fmt: skip


def test_a_run_is_created_with_its_claim_in_one_write_and_runs_to_its_end(machine: Machine) -> None:
    world, runs = world_of(machine)
    opened = arrive(world, pack.spec, order(), "me", UNTIL)
    assert opened is not None
    assert [type(record) for record in opened.records] == [Started, Claimed]
    assert runs.created == [2]
    assert (opened.head.status, opened.head.due, opened.head.started_at) == ("running", UNTIL, EPOCH)
    assert runs.head(opened.head.run_id) == opened.head
    run(machine, world, opened)
    assert runs.head(opened.head.run_id).status == "completed"


def test_the_message_that_comes_again_is_told_to_come_back_when_the_claim_has_lapsed(machine: Machine) -> None:
    world, runs = world_of(machine)
    first = arrive(world, pack.spec, order(), "me", UNTIL)
    assert first is not None
    assert arrive(world, pack.spec, order(), "another", UNTIL) is None
    machine.clock.time = UNTIL + 1
    taken = arrive(world, pack.spec, order(), "another", UNTIL + 300_000)
    assert taken is not None
    assert [record.by for record in taken.records if isinstance(record, Claimed)] == ["me", "another"]
    run(machine, world, taken)
    assert any(
        isinstance(record, StepTried) for record in runs.read(first.head.run_id)
    )  # the crash counts as a failed attempt
    assert arrive(world, pack.spec, order(), "a third", UNTIL + 900_000) is None  # it is tried again later
    assert [head.run_id for head in runs.of_event("e1")] == [first.head.run_id]


def test_a_creation_that_succeeded_and_looked_failed_goes_on(machine: Machine) -> None:
    world, runs = world_of(machine)
    runs.deaf = True
    opened = arrive(world, pack.spec, order(), "me", UNTIL)
    assert opened is not None
    assert [type(record) for record in opened.records] == [Started, Claimed]


def test_what_no_trigger_takes_starts_nothing(machine: Machine) -> None:
    world, runs = world_of(machine)
    assert arrive(world, pack.spec, order(total=1), "me", UNTIL) is None
    assert runs.created == []


def test_an_event_of_the_future_begins_its_run_then(machine: Machine) -> None:
    world, runs = world_of(machine)
    assert arrive(world, pack.spec, order(ts=EPOCH + 60_000), "me", UNTIL) is None
    (head,) = runs.of_event("e1")
    assert (head.status, head.not_before, head.due) == ("scheduled", EPOCH + 60_000, EPOCH + 60_000)
    machine.clock.time = EPOCH + 60_000
    assert arrive(world, pack.spec, order(ts=EPOCH + 60_000), "me", UNTIL) is not None


def test_an_event_that_cancelled_before_the_start_was_seen_cancels(machine: Machine) -> None:
    world, runs = world_of(machine)
    first = arrive(world, pack.spec, order(), "me", UNTIL)  # from now on such events are stored by their order
    assert first is not None
    dropped = Received("e2", "order/dropped", {"id": "o2"}, EPOCH, EPOCH + 1)
    machine.clock.time = EPOCH + 5
    receive.store(world, dropped)
    opened = arrive(
        world, pack.spec, Received("e3", "order/placed", {"id": "o2", "total": 20}, EPOCH, EPOCH), "me", UNTIL
    )
    assert opened is not None
    run(machine, world, opened)
    assert isinstance(runs.read(opened.head.run_id)[-1], Cancelled)
    assert runs.head(opened.head.run_id).status == "cancelled"


def test_a_tick_that_comes_twice_starts_one_run(machine: Machine) -> None:
    world, runs = world_of(machine)
    (trigger,) = tidy.spec.triggers
    assert isinstance(trigger, CronTrigger)
    opened = tick(world, tidy.spec, trigger, EPOCH, "me", UNTIL)
    assert opened is not None
    run(machine, world, opened)
    assert tick(world, tidy.spec, trigger, EPOCH, "another", UNTIL) is None
    assert runs.created == [2, 2]
    assert runs.head(opened.head.run_id).status == "completed"
