"""The contract of RunStore where a process holds what it has read, and others go on writing."""

from __future__ import annotations

import msgspec
import pytest

from tidemill.core.journal import Claimed, Gathered, HandedOver, Record, Started, StepDone
from tidemill.model import Event, Head, HeadChange
from tidemill.ports import APPENDED, Lost, RunStore

NOW = 1_790_000_000_000
EVENT = Event("e1", "order/placed", {"text": "x" * 20_000, "list": [1]}, NOW - 5, NOW)
BORN = Started(NOW, "shop.pay", (EVENT,))
OPEN = HeadChange("running", NOW + 7)


def step(number: int) -> StepDone:
    return StepDone(f"step {number}", "run", NOW, NOW, value=b"1")


def head(**fields: bool) -> Head:
    return Head("r1", "shop.pay", "running", NOW, NOW + 1_000, **fields)


def held(runs: RunStore, records: list[Record]) -> None:
    """A run of these records, which this process has read and holds."""
    assert runs.create(head(), records)
    assert opened(runs) == records


def opened(runs: RunStore) -> list[Record]:
    found = runs.open("r1")
    assert found is not None
    return found[1]


def test_a_warm_reader_sees_what_others_append_together_and_alone(runs: RunStore, others: RunStore) -> None:
    held(runs, [BORN, step(1)])
    assert others.append("r1", 2, [step(2), step(3)]) == APPENDED
    assert opened(runs) == [BORN, step(1), step(2), step(3)]
    assert others.append("r1", 4, [step(4)], OPEN) == APPENDED
    found = runs.open("r1")
    assert found is not None
    assert found[0].due == NOW + 7, "the head is read each time"
    assert found[1] == [BORN, *map(step, range(1, 5))]
    for after in range(-1, 6):
        assert runs.read("r1", after) == found[1][after + 1 :]


def test_a_process_that_lost_the_claim_finds_it_taken(runs: RunStore, others: RunStore) -> None:
    """What it holds ends before the claim of the other, and before what came of it."""
    held(runs, [BORN, step(1)])
    theirs = Claimed(NOW, "other/1", NOW + 9)
    assert others.append("r1", 2, [theirs], OPEN) == APPENDED
    assert others.append("r1", 3, [step(2)]) == APPENDED
    assert runs.append("r1", 2, [Claimed(NOW, "mine/1", NOW + 9)], OPEN) == Lost([theirs, step(2)])
    assert opened(runs) == [BORN, step(1), theirs, step(2)]
    assert runs.append("r1", 3, [HandedOver(NOW)]) == Lost([step(2)])
    assert runs.append("r1", 4, [HandedOver(NOW)]) == APPENDED
    assert opened(others) == [BORN, step(1), theirs, step(2), HandedOver(NOW)]


def test_what_is_changed_in_a_record_that_was_read_changes_no_other_reading(runs: RunStore) -> None:
    held(runs, [BORN])
    (first,) = opened(runs)
    assert isinstance(first, Started)
    first.events[0].data["list"].append(2)
    assert opened(runs) == [BORN]


def test_a_snapshot_of_others_takes_the_place_of_the_one_that_is_held(runs: RunStore, others: RunStore) -> None:
    held(runs, [BORN, step(1)])
    runs.put_snapshot("r1", 1, b"x" * 20_000)
    assert runs.append("r1", 2, [step(2)], HeadChange("running", 7, snapshot=1)) == APPENDED
    assert opened(runs) == [step(2)]
    assert runs.snapshot("r1", 1) == others.snapshot("r1", 1) == b"x" * 20_000
    others.put_snapshot("r1", 2, b"y" * 20_000)
    assert others.append("r1", 3, [step(3)], HeadChange("running", 7, snapshot=2)) == APPENDED
    assert opened(runs) == [step(3)]
    assert runs.snapshot("r1", 2) == b"y" * 20_000
    assert runs.read("r1") == [BORN, step(1), step(2), step(3)], "what the snapshot holds is read where it is asked for"


def test_records_that_are_rewritten_are_never_held(runs: RunStore, others: RunStore) -> None:
    gathered = Gathered(NOW, EVENT, True, False, 1)
    assert runs.create(head(gathers=True), [BORN])
    assert runs.append("r1", 1, [gathered]) == APPENDED
    assert opened(runs) == opened(others) == [BORN, gathered]
    blank = msgspec.structs.replace(gathered, event=None)
    others.rewrite("r1", 1, blank)
    assert opened(runs) == runs.read("r1") == [BORN, blank]


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_the_end_that_another_wrote_is_seen(runs: RunStore, others: RunStore, status: str) -> None:
    held(runs, [BORN])
    others.change("r1", HeadChange(status, None, ended_at=NOW))  # type: ignore[arg-type]  # one of two
    found = runs.open("r1")
    assert found is not None
    assert (found[0].status, found[0].due, found[1]) == (status, None, [BORN])
