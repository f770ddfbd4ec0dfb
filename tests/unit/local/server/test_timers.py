"""Wake-ups: what is due is queued once, the timer is set to what comes next, and many due runs take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tidemill.core.journal import Started
from tidemill.model import Event, Head, HeadChange
from tidemill_local.server.ready import ReadyQueue
from tidemill_local.server.tick import Tick
from tidemill_local.server.timers import Timers
from tidemill_local.store.database import MEMORY, Database
from tidemill_local.store.errors import StoreError

NOW = 1_000_000
BORN = Started(NOW, "a.f", (Event("e1", "n", {}, 1, 1),))


class Handle:
    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Place:
    """Timers over stores in memory; time moves when it is told to."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.time = NOW
        self.handles: list[Handle] = []
        self.ready = ReadyQueue()
        self.failures = 0
        self.tick = Tick(db, before=lambda: None, failed=self._failed)
        loop: Any = self
        self.timers = Timers(loop, db.runs, self, self.ready, self.tick)

    def now(self) -> int:
        return self.time

    def call_later(self, seconds: float, call: Callable[[], None]) -> Handle:
        self.handles.append(Handle(self.time + seconds * 1_000, call))
        return self.handles[-1]

    def _failed(self, _reason: str) -> None:
        self.failures += 1

    def due(self, run_id: str, at: int) -> None:
        assert self.db.runs.create(Head(run_id, "a.f", "sleeping", NOW, at), [BORN])

    def set_to(self) -> list[float]:
        """For when the timer is set."""
        return [handle.at for handle in self.handles if not handle.cancelled]

    def advance(self, ms: int) -> None:
        self.time += ms
        fallen = [handle for handle in self.handles if not handle.cancelled and handle.at <= self.time]
        for handle in fallen:
            self.handles.remove(handle)
            handle.call()

    def take(self) -> list[str]:
        """Take up all that is queued, as a claim does: each is due again in an hour."""
        found = []
        while self.ready:
            run_id, _ = self.ready.pop()
            self.timers.popped(run_id)
            self.db.runs.change(run_id, HeadChange("running", self.time + 3_600_000))
            found.append(run_id)
        return found


@pytest.fixture
def place() -> Iterator[Place]:
    with Database(MEMORY) as db:
        yield Place(db)


def test_what_is_due_is_queued_and_the_timer_set_to_what_is_due_next(place: Place) -> None:
    for run_id, at in (("late", NOW - 5), ("now", NOW), ("soon", NOW + 300), ("far", NOW + 9_000)):
        place.due(run_id, at)
    place.timers.fire()
    assert place.take() == ["late", "now"]
    assert place.set_to() == [NOW + 300]
    place.advance(300)
    assert place.take() == ["soon"]
    assert place.set_to() == [NOW + 9_000]


def test_a_run_that_is_queued_is_not_found_again(place: Place) -> None:
    place.due("r1", NOW)
    place.timers.fire()
    place.timers.fire()
    assert place.ready.pop()[0] == "r1"  # and nobody claims it yet
    place.timers.fire()
    assert not place.ready


def test_an_earlier_time_moves_the_timer_and_a_later_one_does_not(place: Place) -> None:
    place.timers.note(NOW + 5_000)
    place.timers.note(NOW + 9_000)
    assert place.set_to() == [NOW + 5_000]
    place.timers.note(NOW + 2_000)
    assert place.set_to() == [NOW + 2_000]


def test_what_is_noted_behind_the_last_look_is_found(place: Place) -> None:
    place.timers.fire()
    place.due("r1", NOW - 10)
    place.timers.note(NOW - 10)
    place.advance(0)
    assert place.take() == ["r1"]


def test_what_nobody_noted_is_found_within_about_a_minute(place: Place) -> None:
    place.due("far", NOW + 10**9)
    place.timers.fire()
    place.due("missed", NOW - 10)
    place.advance(60_000)
    place.advance(60_000)
    assert place.take() == ["missed"]


def test_after_a_write_that_failed_everything_due_is_queued_again(place: Place) -> None:
    place.due("r1", NOW)
    place.timers.fire()
    place.ready.pop()
    place.timers.again()
    place.advance(0)
    assert place.take() == ["r1"]


def test_many_due_runs_come_in_portions_and_all_of_them_once(place: Place) -> None:
    names = [f"r{n:04}" for n in range(1_700)]
    for name in names:
        place.due(name, NOW)
    place.timers.fire()
    for _ in range(20):
        place.advance(0)
    assert len(place.ready) == 1_000
    assert place.set_to() == []
    taken = place.take()
    for _ in range(20):
        place.advance(0)
    assert taken + place.take() == names


def test_a_store_that_cannot_be_read_is_asked_again_in_a_second(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.due("r1", NOW)

    def broken(*_: object) -> list[tuple[int, int, str, str]]:
        raise StoreError("the disk is gone")

    place.db.commit()
    with monkeypatch.context() as patch:
        patch.setattr(place.db.runs, "waking", broken)
        place.timers.fire()
        place.tick.end()
    assert place.failures == 1
    place.advance(1_000)
    assert place.take() == ["r1"]


def test_a_stopped_timer_does_not_fire(place: Place) -> None:
    place.due("r1", NOW + 10)
    place.timers.fire()
    place.timers.stop()
    place.advance(10)
    assert not place.ready
