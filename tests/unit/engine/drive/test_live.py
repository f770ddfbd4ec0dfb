"""Appends of many branches at once, and of an executor that is not alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tidemill.core.journal import Cancelled, Claimed, Ended, Record, Resolved, Started, StepDone
from tidemill.core.state import fold
from tidemill.engine.drive.live import Left, LiveRun
from tidemill.errors import NonRetriableError, Unavailable
from tidemill.model import Event, FunctionSpec, Head, HeadChange
from tidemill.ports import APPENDED, Appended, Lost

BIRTH = Started(1_000, "shop.work", (Event("e1", "go", {}, 1_000, 1_000),))
CLAIM = Claimed(2_000, "x", 40_000)


class Journal:
    """A keeper of one journal, whose writes can be held up, and fail."""

    def __init__(self) -> None:
        self.records: list[Record] = [BIRTH, CLAIM]
        self.writes = 0
        self.gate: threading.Event | None = None
        self.begun = threading.Event()
        self.failures: list[BaseException] = []  # raised by the next writes
        self.late = False  # they have been made all the same
        self._lock = threading.Lock()

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        self.begun.set()
        if self.gate is not None:
            self.gate.wait(120)
        with self._lock:
            self.writes += 1
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None and not self.late:
                raise failure
            found = self.records[seq:]
            if found[: len(records)] == list(records):
                return APPENDED
            if found:
                return Lost(found)
            self.records += records
            if failure is not None:
                raise failure
        return APPENDED


def live_run(journal: Journal) -> LiveRun:
    head, spec = Head("r1", "shop.work", "running", 1_000, 2_000), FunctionSpec("shop.work", "shop", "work")
    state = fold(journal.records)
    nobody: Any = None
    keeper: Any = journal
    return LiveRun(head, spec, state, keeper, nobody, nobody)


def done(key: str) -> StepDone:
    return StepDone(key, "run", 1, 2, value=key.encode())


def in_threads(count: int, work: Any) -> list[BaseException | None]:
    errors: list[BaseException | None] = [None] * count

    def follow(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors[number] = error

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return errors


def test_branches_that_append_at_the_same_moment_share_a_write():
    journal, gate = Journal(), threading.Event()
    journal.gate = gate
    live = live_run(journal)
    first = threading.Thread(target=live.append, args=(done("first"),))
    first.start()
    assert journal.begun.wait(120)

    def work(number: int) -> None:
        if number == 0:
            while len(live._queue) < 7:  # all others are in line
                pass
            gate.set()
        else:
            live.append(done(f"s{number}"))

    assert in_threads(8, work) == [None] * 8
    first.join(120)
    assert journal.writes == 2
    assert {r.key for r in journal.records[2:]} == {"first", *(f"s{n}" for n in range(1, 8))}
    assert fold(journal.records) == live.state


def test_nothing_is_lost_or_doubled_however_threads_meet():
    journal = Journal()
    live = live_run(journal)
    assert in_threads(8, lambda n: [live.append(done(f"{n}/{m}")) for m in range(50)]) == [None] * 8
    keys = [r.key for r in journal.records[2:] if isinstance(r, StepDone)]
    assert sorted(keys) == sorted(f"{n}/{m}" for n in range(8) for m in range(50))
    assert all([k for k in keys if k.startswith(f"{n}/")] == [f"{n}/{m}" for m in range(50)] for n in range(8))
    assert fold(journal.records) == live.state


def test_what_an_outsider_wrote_first_is_folded_in_and_told():
    journal, news = Journal(), []
    live = live_run(journal)
    live.on_news = lambda: news.append(live.state.resolved.keys())
    journal.records.append(Resolved("w", 3_000))
    live.append(done("a"))
    assert journal.records[2:] == [Resolved("w", 3_000), done("a")]
    assert "w" in live.state.resolved
    assert len(news) == 1


@pytest.mark.parametrize("theirs", [Claimed(3_000, "y", 50_000), Cancelled(3_000, "why"), Ended(3_000, "failed")])
def test_who_has_lost_the_run_drops_what_it_has_and_stops(theirs):
    journal = Journal()
    live = live_run(journal)
    journal.records.append(theirs)
    with pytest.raises(Left):
        live.append(done("a"))
    assert journal.records[2:] == [theirs]
    assert live.leaving == "superseded"
    with pytest.raises(Left):
        live.check()
    with pytest.raises(Left):
        live.append(done("b"))  # of a branch that was at work meanwhile
    with pytest.raises(Left):
        live.offer([done("c")], HeadChange("running", 1))
    assert journal.records[2:] == [theirs], "the next number is free, but not ours"


def test_all_whose_write_failed_are_told():
    journal, gate = Journal(), threading.Event()
    journal.gate = gate
    live = live_run(journal)
    first = threading.Thread(target=live.append, args=(done("first"),))
    first.start()
    assert journal.begun.wait(120)

    def work(number: int) -> None:
        if number == 0:
            while len(live._queue) < 3:
                pass
            journal.records += [Claimed(3_000, "y", 50_000)] if not journal.records[2:] else []
            gate.set()
        else:
            live.append(done(f"s{number}"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: None)  # the first has lost, too
        errors = in_threads(4, work)
        first.join(120)
    assert [type(error) for error in errors[1:]] == [Left, Left, Left]
    assert [type(record) for record in journal.records[2:]] == [Claimed]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_a_write_without_an_answer_is_made_again_and_is_one(times, late):
    journal = Journal()
    live = live_run(journal)
    journal.failures, journal.late = [Unavailable("no answer")] * times, late
    live.append(done("a"), done("b"))
    live.append(done("c"))
    assert journal.records[2:] == [done("a"), done("b"), done("c")]


def test_an_executor_without_a_keeper_is_as_good_as_dead():
    journal = Journal()
    live = live_run(journal)
    journal.failures = [Unavailable("no answer")] * 3
    with pytest.raises(Left):
        live.append(done("a"))
    assert isinstance(live.failure, Unavailable)
    assert live.leaving == "superseded"


def test_a_question_that_makes_no_sense_is_the_codes_to_know():
    live = live_run(Journal())

    def question() -> None:
        raise NonRetriableError("too much to look back through")

    with pytest.raises(NonRetriableError):
        live.ask(question)
    assert (live.failure, live.leaving) == (None, None)


def test_each_branch_answers_once_for_a_crash():
    journal = Journal()
    journal.records.append(Claimed(3_000, "y", 50_000))
    live = live_run(journal)
    assert live.crashes == 1
    assert [live.charge(branch) for branch in ["p0/0/", "p0/0/", "p0/1/", "p0/0/p0/1/", ""]] == [1, 0, 1, 0, 0]


def test_the_trunk_answers_for_all_that_comes_after_it():
    journal = Journal()
    journal.records.append(Claimed(3_000, "y", 50_000))
    live = live_run(journal)
    assert [live.charge(branch) for branch in ["", "p0/0/", "", "p1/0/"]] == [1, 0, 0, 0]
