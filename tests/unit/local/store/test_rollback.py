"""A write that fails, on a real database: what it takes along, and that it is as if it had never been."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.core.journal import Claimed, HandedOver, Started
from tidemill.model import Condition, Event, Head, Place, Wait
from tidemill.ports import APPENDED, Grant, Hold, Leaver, Waiting
from tidemill_local.server.tick import Tick
from tidemill_local.store.database import Database
from tidemill_local.store.errors import StoreError, StoreFullError

PLACE = Place("shop.pay", 1, "runs")


class Sender:
    """A connection that holds an answer back until it is true."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def flush(self) -> None:
        self.told.append("done")

    def refuse(self, reason: str) -> None:
        self.told.append(reason)

    def abort(self) -> None:
        raise AssertionError("it can be answered")


def sold(number: int) -> Event:
    return Event(f"e{number}", "item/sold", {"pad": "x" * 2_000}, 1, 1)


def full(db: Database) -> None:
    """From now on the disk takes no more."""
    (pages,) = db._connection.execute("PRAGMA page_count").fetchone()
    db._connection.execute(f"PRAGMA max_page_count = {pages}")


def room(db: Database) -> None:
    db._connection.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(tmp_path / "data")


def test_after_a_turn_that_failed_the_next_is_kept(db: Database) -> None:
    failed: list[str] = []
    tick = Tick(db, before=lambda: None, failed=failed.append)

    def turn(number: int) -> list[str]:
        sender = Sender()
        tick.hold(sender)
        try:
            for n in range(20):
                db.events.put(sold(100 * number + n), ())
        except StoreError as error:
            tick.fail(error)
        tick.end()
        return sender.told

    with db:
        assert turn(0) == ["done"]
        full(db)
        for number in (1, 2):
            (reason,) = turn(number)
            assert "disk is full" in reason
        room(db)
        assert turn(3) == ["done"]
        assert len(failed) == 2
        kept = {row[0] for row in db.rows("SELECT id FROM event")}
        assert kept == {f"e{100 * number + n}" for number in (0, 3) for n in range(20)}


def test_a_failure_that_is_told_of_takes_all_of_its_turn_along(db: Database) -> None:
    """The one who fails need not be the last one to write."""
    tick = Tick(db, before=lambda: None, failed=lambda _: None)
    with db:
        before, after = Sender(), Sender()
        tick.hold(before)
        db.events.put(sold(1), ())
        tick.fail(StoreFullError("no room"))
        tick.hold(after)
        db.events.put(sold(2), ())
        tick.end()
        assert (before.told, after.told) == (["no room"], ["no room"])
        assert db.rows("SELECT id FROM event") == []
        last = Sender()
        tick.hold(last)
        tick.end()
        assert last.told == ["done"]


def test_nobody_holds_or_waits_for_a_place_by_a_transaction_that_was_rolled_back(db: Database) -> None:
    with db:
        assert db.flow.take(PLACE, Hold("r1", 1, 10**6), 0, known=False)
        db.commit()
        assert db.flow.park(PLACE, Waiting("r2", "shop.pay", 1, 5), Grant(0, 10, lambda _: 1)) == []
        assert list(db.flow.in_line(PLACE.key)) == [("r2", "shop.pay")]
        db.rollback()
        assert list(db.flow.in_line(PLACE.key)) == []
        assert db.flow.pass_on(PLACE, Leaver("r1"), Grant(0, 10, lambda _: 1)) == [], "nobody is given the place"
        db.rollback()
        assert [holder.run_id for holder in db.flow.holders(PLACE.key)] == ["r1"]
        db.flow.pass_on(PLACE, Leaver("r1", None, None), Grant(0, 10, lambda _: 1))
        db.commit()
        assert db.flow.take(PLACE, Hold("r3", 1, 10**6), 0, known=False), "the place is free, and nobody stands in line"


def test_records_that_were_read_and_then_rolled_back_are_held_by_nobody(db: Database) -> None:
    born, claim = Started(1, "shop.pay", tuple(map(sold, range(20)))), Claimed(2, "a/1", 9)
    with db:
        assert db.runs.create(Head("r1", "shop.pay", "running", 1, 2), [born])
        db.commit()
        assert db.runs.append("r1", 1, [claim]) == APPENDED
        db.runs.put_snapshot("r1", 0, b"x" * 20_000)
        assert db.runs.open("r1") is not None
        db.rollback()
        opened = db.runs.open("r1")
        assert opened is not None
        assert opened[1] == db.runs.read("r1") == [born]
        assert db.runs.snapshot("r1", 0) is None
        assert db.runs.append("r1", 1, [HandedOver(3)]) == APPENDED
        assert db.runs.read("r1") == [born, HandedOver(3)]


def test_a_run_a_wait_and_an_awaited_path_that_were_rolled_back_are_not_there(db: Database) -> None:
    head = Head("r1", "shop.pay", "running", 1, 2)
    with db:
        assert db.runs.create(head, [Started(1, "shop.pay", (sold(1),))])
        db.events.add_path("item/sold", "data.id", 1)
        db.waits.put(Wait("r1", "shop.pay", "w", "item/sold", Condition(), after=0))
        db.rollback()
        assert db.runs.head("r1") is None
        assert db.runs.open("r1") is None
        assert db.events.paths("item/sold") == {}
        assert not db.waits.awaited("item/sold")
        assert db.runs.create(head, [Started(1, "shop.pay", (sold(1),))]), "it does not exist"


def test_a_wait_dropped_by_a_transaction_that_was_rolled_back_is_awaited(db: Database) -> None:
    with db:
        db.waits.put(Wait("r1", "shop.pay", "w", "item/sold", Condition(), after=0))
        db.commit()
        db.waits.drop("r1")
        assert not db.waits.awaited("item/sold")
        db.rollback()
        assert db.waits.awaited("item/sold")
