"""Delayed events of the dev server: they take effect at their time, in turns, whatever goes wrong meanwhile."""

from __future__ import annotations

import msgspec
import pytest
from lambdas.conftest import make_world
from support.doubles import NOW
from unit.local.server.test_timers import Handle

from tidemill.core.journal import Resolved
from tidemill.engine.intake import receive
from tidemill.engine.runs import match_waits
from tidemill.limits import SKEW
from tidemill.model import Condition, Event, FunctionSpec, Wait
from tidemill_local.server.delayed import Delayed
from tidemill_local.server.tick import Tick
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.store.errors import StoreError

SPEC = FunctionSpec("shop.charge", "shop", "charge")
DAY = 86_400_000


class Place:
    """A server's delayed events over stores in memory; time moves when it is told to."""

    def __init__(self) -> None:
        self.db = Database(MEMORY)
        self.world = make_world(self.db)
        self.handles: list[Handle] = []
        self.troubles: list[str] = []
        self.failures: list[str] = []
        self.tick = Tick(self.db, before=lambda: None, failed=self.failures.append)
        self.delayed = self.server()

    def server(self) -> Delayed:
        loop = self
        return Delayed(loop, self.world, self.db.events, self.tick, self.troubles.append)  # type: ignore[arg-type]

    def call_later(self, seconds: float, call: object) -> Handle:
        self.handles.append(Handle(self.world.clock.now() + seconds * 1_000, call))  # type: ignore[arg-type]
        return self.handles[-1]

    def send(self, event_id: str, ts: int) -> None:
        receive.receive(self.world, Event(event_id, "paid", {}, ts, self.world.clock.now()))

    def waiting(self, count: int) -> list[str]:
        runs = [receive.invoke(self.world, SPEC, b"{}", run_id=f"run{n:03d}") for n in range(count)]
        match_waits.register(self.world, [Wait(run, SPEC.id, "w", "paid", Condition(), after=0) for run in runs])
        return runs

    def resolved(self, run_id: str) -> list[str]:
        records = self.db.runs.read(run_id)
        return [r.event.id for r in records if isinstance(r, Resolved) and r.event is not None]

    def run_to(self, at: int) -> None:
        """Fire what is set until then, in order."""
        while pending := [each for each in self.handles if not each.cancelled and each.at <= at]:
            first = min(pending, key=lambda each: each.at)
            self.handles.remove(first)
            self.world.clock.ms = max(self.world.clock.now(), int(first.at))  # type: ignore[attr-defined]
            first.call()
            self.tick.end()
        self.world.clock.ms = at  # type: ignore[attr-defined]


def test_it_takes_effect_at_its_ts_and_the_timer_rests_after_it() -> None:
    place = Place()
    (run_id,) = place.waiting(1)
    place.send("late", NOW + DAY)
    place.send("soon", NOW + 5_000)
    place.run_to(NOW + 4_999)
    assert place.resolved(run_id) == []
    place.run_to(NOW + 5_000)
    assert place.resolved(run_id) == ["soon"]
    place.run_to(NOW + DAY + SKEW)
    assert [each for each in place.handles if not each.cancelled] == []
    assert place.db.events.next_due() is None


def test_what_was_due_while_no_server_ran_is_done_by_the_next_one() -> None:
    place = Place()
    (run_id,) = place.waiting(1)
    place.send("e", NOW + 5_000)
    place.handles.clear()  # killed
    place.world.clock.ms += DAY  # type: ignore[attr-defined]
    place.delayed = place.server()
    place.delayed.fire()
    assert place.resolved(run_id) == ["e"]


def test_many_waiters_are_told_in_parts() -> None:
    place = Place()
    runs = place.waiting(120)
    place.send("e", NOW + 5_000)
    place.run_to(NOW + 4_999)
    parts = 0
    while not all(place.resolved(run_id) for run_id in runs):
        place.run_to(NOW + 5_000) if not parts else place.delayed.fire()
        parts += 1
    assert all(place.resolved(run_id) == ["e"] for run_id in runs)


def test_a_disk_that_is_full_delays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    (run_id,) = place.waiting(1)
    place.send("e", NOW + 5_000)
    place.db.commit()

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(place.db.events, "delayed", full)
        place.run_to(NOW + 5_500)
    assert place.failures
    assert place.resolved(run_id) == []
    place.run_to(NOW + 7_000)
    assert place.resolved(run_id) == ["e"]


def test_one_that_cannot_be_read_does_not_keep_the_others_back() -> None:
    place = Place()
    (run_id,) = place.waiting(1)
    place.send("damaged", NOW + 5_000)
    place.send("sound", NOW + 6_000)
    place.db.write("UPDATE event SET data = ? WHERE id = ?", (msgspec.msgpack.encode(1), "damaged"))
    place.run_to(NOW + 6_000)
    assert place.resolved(run_id) == ["sound"]
    assert len(place.troubles) == 1
    assert "event damaged is due" in place.troubles[0]
