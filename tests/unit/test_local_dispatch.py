"""Who gets which run: claimed and pushed to idle slots, one more slot only when all are at work."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest

from tidemill.core.journal import Claimed, Started
from tidemill.execute.open import Opened
from tidemill.execute.receive import DirectBus
from tidemill.model import Event, EventTrigger, FunctionSpec, Head, TimeoutSpec
from tidemill.ports import World
from tidemill_local import dispatch
from tidemill_local.claims import Claims
from tidemill_local.console import Console
from tidemill_local.dispatch import BEGINNING_MOST, Dispatcher
from tidemill_local.queue import LocalQueue
from tidemill_local.ready import ReadyQueue
from tidemill_local.registry import LocalRegistry
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.store.errors import StoreError, StoreFullError
from tidemill_local.testing.machine import SeededEntropy, VirtualClock
from tidemill_local.tick import Tick
from tidemill_local.timers import Timers

NOW = 1_000_000


class Slot:
    """What a slot was told."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.run: Opened | None = None
        self.by = ""
        self.closed = self.retired = False

    def assign(self, opened: Opened, by: str) -> None:
        self.run, self.by = opened, by

    def close(self) -> None:
        self.closed = True
        self.worker.place.dispatcher.lost(self)  # type: ignore[arg-type]  # a stand-in

    def retire(self) -> None:
        self.retired = True


class Worker:
    def __init__(self, place: Place, most: int) -> None:
        self.place = place
        self.most = most
        self.slots: list[Slot] = []

    def grow(self) -> Slot | None:
        if len(self.slots) >= self.most:
            return None
        self.slots.append(Slot(self))
        return self.slots[-1]

    def dropped(self, slot: Slot) -> None:
        self.slots.remove(slot)


class Place:
    """A dispatcher over stores in memory. All is asked of it in turns, as on the server's loop."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ready = ReadyQueue()
        self.claims = Claims("boot")
        self.said = io.StringIO()
        self.popped: list[str] = []
        loop = asyncio.get_running_loop()
        registry = LocalRegistry()
        registry.replace([FunctionSpec("a.f", "a", "f", (EventTrigger("n"),))], "1")
        clock, queue, bus = VirtualClock(NOW), LocalQueue(self.ready), DirectBus()
        self.world = World(
            db.runs, db.events, db.waits, db.blobs, queue, bus, registry, clock, SeededEntropy(1), self.claims, db.flow
        )
        self.dispatcher = Dispatcher(self.world, self.ready, self.claims, Console(loop, self.said))
        self.dispatcher.tick = Tick(db, before=self.dispatcher.pump, failed=lambda: None)
        self.dispatcher.popped = self.popped.append
        self.clock, self.registry = clock, registry
        self.timers = queue.timers = Timers(loop, db.runs, clock, self.ready, self.dispatcher.tick)
        self.timers.wake = self.dispatcher.wake

    def use(self, most: int) -> Worker:
        worker: Any = Worker(self, most)
        self.dispatcher.use(worker)
        return worker

    def runs(self, *names: str) -> None:
        for name in names:
            born = Started(NOW, "a.f", (Event("e1", "n", {}, 1, 1),))
            assert self.db.runs.create(Head(name, "a.f", "scheduled", NOW, NOW + 9_000), [born])
            self.ready.put(name, "a.f")

    def turn(self) -> None:
        self.dispatcher.tick.arm()
        self.dispatcher.tick.end()

    def status(self, run_id: str) -> str:
        head = self.db.runs.head(run_id)
        assert head is not None
        return head.status

    def claims_of(self, run_id: str) -> list[str]:
        return [record.by for record in self.db.runs.read(run_id) if isinstance(record, Claimed)]


def on_a_loop(story: Callable[[Place], None]) -> Callable[[], None]:
    def test() -> None:
        async def main() -> None:
            with Database(MEMORY) as db:
                story(Place(db))

        asyncio.run(main())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


def at_work(worker: Worker) -> list[str]:
    return [slot.run.head.run_id for slot in worker.slots if slot.run is not None]


def free(place: Place, slot: Any) -> None:
    """The slot has left its run in order."""
    slot.run = None
    place.dispatcher.heard(slot)
    place.dispatcher.free(slot)


@on_a_loop
def test_runs_wait_for_a_worker_and_then_for_a_slot(place: Place) -> None:
    place.runs("r1", "r2", "r3")
    place.turn()
    assert (len(place.ready), place.claims_of("r1")) == (3, [])
    worker = place.use(2)
    place.turn()
    assert at_work(worker) == ["r1", "r2"]
    assert place.popped == ["r1", "r2"]
    assert (place.claims_of("r2"), place.claims_of("r3")) == ([worker.slots[1].by], [])
    free(place, worker.slots[0])
    place.turn()
    assert at_work(worker) == ["r3", "r2"]


@on_a_loop
def test_the_slot_that_was_freed_last_is_used_first(place: Place) -> None:
    worker = place.use(8)
    place.runs("r1", "r2", "r3")
    place.turn()
    for n in (0, 2, 1):
        free(place, worker.slots[n])
    place.runs("r4")
    place.turn()
    assert worker.slots[1].run is not None
    assert len(worker.slots) == 3


@on_a_loop
def test_a_run_whose_slot_is_lost_is_claimed_again(place: Place) -> None:
    worker = place.use(1)
    place.runs("r1")
    place.turn()
    [first] = worker.slots
    first.close()
    place.turn()
    [second] = worker.slots
    assert at_work(worker) == ["r1"]
    assert place.claims_of("r1") == ["boot/1", second.by]
    claims = [record for record in place.db.runs.read("r1") if isinstance(record, Claimed)]
    assert [place.claims.alive(claim, NOW) for claim in claims] == [False, True]


@on_a_loop
def test_an_old_workers_slots_are_let_go(place: Place) -> None:
    old = place.use(2)
    place.runs("r1", "r2")
    place.turn()
    working, idle = old.slots
    free(place, idle)
    new = place.use(2)
    assert (idle.closed, working.closed) == (True, False)
    assert [slot.run.head.run_id for slot in place.dispatcher.busy() if slot.run] == ["r1"]
    assert place.dispatcher.busy(new) == []  # type: ignore[arg-type]  # a stand-in
    free(place, working)
    assert working.retired
    place.runs("r3")
    place.turn()
    assert at_work(new) == ["r3"]


@on_a_loop
def test_a_server_that_stops_begins_nothing(place: Place) -> None:
    worker = place.use(2)
    place.runs("r1")
    place.turn()
    place.dispatcher.stopping = True
    place.runs("r2")
    place.turn()
    assert at_work(worker) == ["r1"]
    free(place, worker.slots[0])
    assert worker.slots[0].retired


@on_a_loop
def test_a_journal_that_cannot_be_read_stops_no_other_run(place: Place) -> None:
    worker = place.use(1)
    place.runs("bad", "good")
    place.db.runs.append_raw("bad", 1, [b"\xc1"])
    place.turn()
    assert at_work(worker) == ["good"]
    assert "run bad of a.f cannot go on" in place.said.getvalue()


@on_a_loop
def test_a_run_that_needs_no_code_takes_no_slot(place: Place) -> None:
    worker = place.use(1)
    place.ready.put("nowhere", "a.f")
    place.runs("r1")
    place.turn()
    assert at_work(worker) == ["r1"]
    assert place.popped == ["nowhere", "r1"]


@on_a_loop
def test_a_run_that_cannot_be_claimed_stays_in_the_queue(place: Place) -> None:
    worker = place.use(1)
    place.runs("r1")
    place.db.commit()

    def full(*_: object) -> None:
        raise StoreFullError("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place.db.runs, "append", full)
        with pytest.raises(StoreError, match="full"):
            place.dispatcher.pump()
    assert "r1" in place.ready
    assert at_work(worker) == []
    place.turn()
    place.turn()
    assert at_work(worker) == ["r1"]


@on_a_loop
def test_few_runs_begin_at_a_time(place: Place) -> None:
    worker = place.use(10)
    place.runs(*[f"r{n}" for n in range(BEGINNING_MOST + 2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "BEGINNING_SECONDS", 3_600)
        place.turn()
        assert len(at_work(worker)) == BEGINNING_MOST
        place.dispatcher.heard(worker.slots[0])  # type: ignore[arg-type]  # a stand-in
        place.turn()
        assert len(at_work(worker)) == BEGINNING_MOST + 1
        patch.setattr(dispatch, "BEGINNING_SECONDS", 0)
        place.turn()
        assert len(at_work(worker)) == BEGINNING_MOST + 2


def limited(place: Place, **timeouts: int) -> None:
    """The function has these timeouts, in milliseconds."""
    spec = FunctionSpec("a.f", "a", "f", (EventTrigger("n"),), timeouts=TimeoutSpec(**timeouts))
    place.registry.replace([spec], "2")
    born = Started(NOW, "a.f", (Event("e1", "n", {}, 1, 1),))
    for name in ("r1", "r2"):
        by = {f"{kind}_by": NOW + ms for kind, ms in timeouts.items()}
        head = Head(name, "a.f", "scheduled", NOW, min(by.values()), **by)
        assert place.db.runs.create(head, [born])
        place.ready.put(name, "a.f")


@on_a_loop
def test_a_finish_timeout_cancels_a_run_while_its_code_runs_and_no_slot_is_idle(place: Place) -> None:
    limited(place, finish=1_000)
    worker = place.use(1)
    place.turn()
    assert at_work(worker) == ["r1"]
    place.clock.time += 1_000
    place.timers.fire()
    place.turn()
    assert [place.status(name) for name in ("r1", "r2")] == ["cancelled", "cancelled"]


@on_a_loop
def test_a_start_timeout_counts_while_no_slot_is_idle(place: Place) -> None:
    limited(place, start=1_000)
    place.use(1)
    place.turn()
    place.clock.time += 1_000
    place.timers.fire()
    place.turn()
    assert [place.status(name) for name in ("r1", "r2")] == ["running", "cancelled"]


@on_a_loop
def test_a_timer_is_set_for_the_finish_timeout_of_a_run_that_begins(place: Place) -> None:
    limited(place, finish=1_000)
    place.timers.note(NOW + 9_000)
    place.use(1)
    place.turn()
    assert place.timers.at == NOW + 1_000
