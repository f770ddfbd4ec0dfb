"""Who gets which run: claimed and pushed to idle slots, one more slot only when all are at work."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest

from tidemill.core.journal import Claimed, Started
from tidemill.core.state import fold
from tidemill.engine.drive.claim import Opened
from tidemill.engine.intake.receive import DirectBus
from tidemill.model import Event, EventTrigger, Failure, FunctionSpec, Head, TimeoutSpec
from tidemill.ports import World
from tidemill_local.console.lines import Console
from tidemill_local.server.queue import LocalQueue
from tidemill_local.server.ready import ReadyQueue
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.server.tick import Tick
from tidemill_local.server.timers import Timers
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.store.errors import StoreError, StoreFullError
from tidemill_local.testing.machine import SeededEntropy, VirtualClock
from tidemill_local.workers import dispatch
from tidemill_local.workers.claims import Claims
from tidemill_local.workers.dispatch import BEGINNING_MOST, Dispatcher
from tidemill_local.workers.quarantine import Quarantine

NOW = 1_000_000


class Slot:
    """What a slot was told."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.run: Opened | None = None
        self.by = ""
        self.closed = self.retired = False
        self.since = 0
        self.crash: Failure | None = None

    def assign(self, opened: Opened, by: str, crash: Failure | None) -> None:
        self.run, self.by, self.crash = opened, by, crash

    def close(self) -> None:
        self.closed = True
        self.worker.place.dispatcher.lost(self)  # type: ignore[arg-type]  # a stand-in

    def retire(self) -> None:
        self.retired = True


class Worker:
    def drain(self) -> None:
        self.draining = True

    def __init__(self, place: Place, most: int) -> None:
        self.place = place
        self.most = most
        self.slots: list[Slot] = []
        self.alone = self.draining = False
        self.pid = 77

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
        self.dispatcher.tick = Tick(db, before=self.dispatcher.pump, failed=lambda _: None)
        self.dispatcher.popped = self.popped.append
        self.clock, self.registry = clock, registry
        self.isolated = 0  # workers of one slot that were asked for
        arm = self.dispatcher.tick.arm
        self.dispatcher.quarantine = Quarantine(loop, self._isolate, arm, self.ready.put)
        self.timers = queue.timers = Timers(loop, db.runs, clock, self.ready, self.dispatcher.tick)
        self.timers.wake = self.dispatcher.wake

    def _isolate(self) -> bool:
        self.isolated += 1
        return True

    def isolate(self) -> Worker:
        """A worker of one slot has come."""
        worker: Any = Worker(self, 1)
        worker.alone = True
        self.dispatcher.quarantine.joined(worker, loaded=True)
        self.turn()
        return worker

    def die(self, worker: Any) -> None:
        """The worker's process is killed."""
        self.dispatcher.dying(worker, "was killed by SIGSEGV")
        if worker is self.dispatcher.worker:
            self.dispatcher.use(None)
        for slot in list(worker.slots):
            slot.close()
        self.turn()

    def use(self, most: int) -> Worker:
        worker: Any = Worker(self, most)
        self.dispatcher.use(worker)
        return worker

    def use_turn(self, most: int) -> Worker:
        worker = self.use(most)
        self.turn()
        return worker

    def later(self) -> None:
        """All back-offs are over."""
        for guilt in self.dispatcher.quarantine._guilty.values():
            guilt.until = 0.0
        self.turn()

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


def crashes(place: Place, run_id: str) -> tuple[int, list[str]]:
    """How many lapses the run is charged with, and what its records are."""
    records = place.db.runs.read(run_id)
    return fold(records).crashes, [type(record).__name__ for record in records]


@on_a_loop
def test_the_only_run_at_work_is_charged_when_its_process_dies(place: Place) -> None:
    place.runs("r1")
    place.die(place.use_turn(1))
    place.use_turn(1)
    assert place.isolated == 0, "its function has a back-off first"
    place.later()
    alone = place.isolate()
    assert at_work(alone) == ["r1"]
    assert crashes(place, "r1")[0] == 1
    assert alone.slots[0].crash is not None
    assert "SIGSEGV" in alone.slots[0].crash.message


@on_a_loop
def test_neighbours_of_a_process_that_dies_are_not_charged_and_go_on_alone(place: Place) -> None:
    place.runs("r1", "r2")
    worker = place.use_turn(2)
    assert at_work(worker) == ["r1", "r2"]
    place.die(worker)
    place.use_turn(2)
    first = place.isolate()
    assert at_work(first) == ["r1"]
    second = place.isolate()
    assert at_work(second) == ["r2"]
    free(place, second.slots[0])
    place.die(first)
    assert crashes(place, "r2") == (0, ["Started", "Claimed", "HandedOver", "Claimed"])
    place.later()
    assert at_work(place.isolate()) == ["r1"]
    assert crashes(place, "r1")[0] == 1, "alone it died again: it is charged once"


@on_a_loop
def test_runs_of_other_functions_wait_for_no_back_off(place: Place) -> None:
    place.registry.replace([FunctionSpec(f"a.{n}", "a", n, (EventTrigger("n"),)) for n in "fg"], "2")
    place.runs("r1")
    place.die(place.use_turn(1))
    assert place.ready, "it waits for a worker to be looked at"
    born = Started(NOW, "a.g", (Event("e1", "n", {}, 1, 1),))
    assert place.db.runs.create(Head("r2", "a.g", "scheduled", NOW, NOW + 9_000), [born])
    place.ready.put("r2", "a.g")
    assert at_work(place.use_turn(1)) == ["r2"]


@on_a_loop
def test_a_function_is_as_others_again_once_a_run_of_it_was_left_in_order(place: Place) -> None:
    place.runs("r1")
    place.die(place.use_turn(1))
    place.later()
    worker = place.use_turn(1)
    place.runs("r2")
    place.turn()
    alone = place.isolate()
    assert (at_work(worker), at_work(alone)) == ([], ["r1"])
    free(place, alone.slots[0])
    place.turn()
    assert at_work(worker) == ["r2"]
    assert alone.draining, "nobody else needs it"


@on_a_loop
def test_the_end_of_a_process_that_is_replaced_charges_nobody(place: Place) -> None:
    place.runs("r1")
    worker = place.use_turn(1)
    place.dispatcher.spare(worker)  # type: ignore[arg-type]  # a stand-in
    worker.slots[0].close()
    assert at_work(place.use_turn(1)) == ["r1"]
    assert crashes(place, "r1") == (0, ["Started", "Claimed", "HandedOver", "Claimed"])


@on_a_loop
def test_what_a_slot_gives_up_for_is_told_to_the_next(place: Place) -> None:
    place.runs("r1")
    worker = place.use_turn(1)
    slot: Any = worker.slots[0]
    place.dispatcher.gave_up(slot, Failure("Odd", "so"))
    place.turn()
    assert [slot.crash for slot in worker.slots] == [Failure("Odd", "so")]
