"""The contract of RunStore."""

from __future__ import annotations

import msgspec
import pytest

from tidemill.core.journal import Cancelled, Claimed, Ended, HandedOver, Record, Resolved, Started, StepDone
from tidemill.errors import JournalError
from tidemill.limits import DAY, MAP_CHUNKS
from tidemill.model import Admission, Event, Failure, Head, HeadChange, Parent, Place, RunStatus
from tidemill.ports import APPENDED, Lost, RunQuery, RunStore

NOW = 1_790_000_000_000
EVENT = Event("e1", "order/placed", {"n": 1, "deep": {"list": [1, 2.5, None, "ü"]}}, NOW - 5, NOW, {"id": "u1"}, "1")
BORN = Started(NOW, "shop.pay", (EVENT,))


def head(run_id: str, at: int = NOW, **fields: object) -> Head:
    values: dict[str, object] = {"function_id": "shop.pay", "status": "running", "due": at + 1_000, **fields}
    return Head(run_id=run_id, created_at=at, **values)  # type: ignore[arg-type]  # the fields a test names


def born(runs: RunStore, run_id: str, at: int = NOW, **fields: object) -> Head:
    made = head(run_id, at, **fields)
    assert runs.create(made, [BORN])
    return made


def ids(heads: list[Head]) -> list[str]:
    return [h.run_id for h in heads]


# Creating.


def unkept(head: Head | None) -> Head:
    """The head without what only a store says of it in which records expire."""
    assert head is not None
    return msgspec.structs.replace(head, kept=None)


def test_a_new_run_has_its_head_and_its_records(runs: RunStore) -> None:
    made = head("r1", event_ids=("e1",))
    records: list[Record] = [BORN, Claimed(NOW, "boot/1", NOW + 9)]
    assert runs.create(made, records)
    assert runs.head("r1") == made
    assert runs.read("r1") == records
    assert runs.birth("r1") == BORN


def test_every_field_of_a_head_comes_back(runs: RunStore) -> None:
    made = Head(
        run_id="r1", function_id="shop.pay", status="waiting", created_at=1, due=2, version="v3", reason="held",
        event_ids=("a\x1fb", "ü"), user="u1", attempt=4, parent=Parent("p", "shop.all", "p0/2/a", 7, 9), started_at=5,
        ended_at=6, end=7, snapshot=8, finish_by=9, start_by=10, not_before=11, needs_cleanup=True,
        admission=Admission(7, (Place("k", 2, "runs", "u1"),), Place("s", 1)), gathers=True, rerun_of="r0",
    )  # fmt: skip
    defaults = Head("", "", "scheduled", 0, None)
    same = [f for f in Head.__struct_fields__ if getattr(made, f) == getattr(defaults, f)]
    assert same == ["kept"], "a new field of Head belongs into this test"
    runs.create(made, [BORN])
    assert runs.head("r1") == made


def test_a_run_is_created_once(runs: RunStore) -> None:
    made = born(runs, "r1", event_ids=("e1",))
    runs.append("r1", 1, [HandedOver(NOW)])
    assert not runs.create(head("r1", at=NOW + 5, status="failed", event_ids=("e2",)), [BORN, Cancelled(NOW, "no")])
    assert runs.head("r1") == made
    assert runs.read("r1") == [BORN, HandedOver(NOW)]
    assert runs.of_event("e2") == []


def test_an_unknown_run(runs: RunStore) -> None:
    assert runs.head("r1") is None
    assert runs.birth("r1") is None
    assert runs.read("r1") == []
    runs.change("r1", HeadChange("failed", None))
    runs.redue("r1", NOW, NOW)
    assert runs.head("r1") is None


# Journals.


def test_records_of_every_size_come_back(runs: RunStore) -> None:
    born(runs, "r1")
    big = StepDone("s", "run", NOW, NOW, value=bytes(range(256)) * 1_000)
    failed = StepDone("t", "run", NOW, NOW, attempts=3, failure=Failure("ValueError", "ä" * 2_000, stack="x\x00y"))
    assert runs.append("r1", 1, [big]) == APPENDED
    assert runs.append("r1", 2, [failed]) == APPENDED
    assert runs.read("r1") == [BORN, big, failed]


def test_the_first_to_append_at_a_number_has_it(runs: RunStore) -> None:
    born(runs, "r1")
    mine, theirs = Claimed(NOW, "a/1", NOW + 9), Claimed(NOW, "b/1", NOW + 9)
    assert runs.append("r1", 1, [theirs]) == APPENDED
    assert runs.append("r1", 1, [mine]) == Lost([theirs])
    assert runs.append("r1", 2, [HandedOver(NOW)]) == APPENDED
    assert runs.append("r1", 1, [mine]) == Lost([theirs, HandedOver(NOW)])
    assert runs.append("r1", 0, [mine]) == Lost([BORN, theirs, HandedOver(NOW)])
    assert runs.read("r1") == [BORN, theirs, HandedOver(NOW)]


def test_several_records_are_appended_together_or_not_at_all(runs: RunStore) -> None:
    made = born(runs, "r1")
    three: list[Record] = [StepDone(k, "run", NOW, NOW) for k in "abc"]
    assert runs.append("r1", 1, three) == APPENDED
    late: list[Record] = [StepDone(k, "run", NOW, NOW) for k in "defgh"]
    assert runs.append("r1", 1, late, HeadChange("completed", None)) == Lost(three)
    assert runs.append("r1", 1, late[:1]) == Lost(three)
    assert runs.read("r1", after=1) == three[1:]
    assert runs.read("r1", after=2) == three[2:]
    assert runs.read("r1", after=3) == []
    assert runs.read("r1") == [BORN, *three]
    assert runs.head("r1") == made


def test_many_records_at_once(runs: RunStore) -> None:
    born(runs, "r1")
    many: list[Record] = [StepDone(str(i), "run", NOW, NOW) for i in range(300)]
    assert runs.append("r1", 1, many) == APPENDED
    assert runs.read("r1", after=100) == many[100:]


def test_an_append_to_no_run_is_an_error_where_a_head_must_change(runs: RunStore) -> None:
    with pytest.raises(JournalError, match="no run r9"):
        runs.append("r9", 1, [HandedOver(NOW)], HeadChange("running", 9))
    assert (runs.head("r9"), runs.read("r9")) == (None, [])


def test_what_a_lost_append_would_have_done_is_not_done(runs: RunStore) -> None:
    """Neither the record nor the head, whichever of the two the store writes first."""
    made = born(runs, "r1", due=5)
    runs.append("r1", 1, [Claimed(NOW, "b/1", NOW + 9)])
    change = HeadChange("completed", None, ended_at=NOW, end=1)
    for records in ([Ended(NOW, "completed")], [HandedOver(NOW), Ended(NOW, "completed")], [HandedOver(NOW)]):
        assert runs.append("r1", 1, records, change) == Lost([Claimed(NOW, "b/1", NOW + 9)])
    assert runs.head("r1") == made
    assert ids(runs.overdue(5, 9)) == ["r1"]


def test_a_birth_of_every_size(runs: RunStore) -> None:
    """A store may keep a small birth in another place than a large one; what is appended comes after either."""
    for size in (0, 100, 500, 600, 700, 800, 900, 1_000, 1_100, 3_000, 100_000, 500_000):
        run_id = f"r{size}"
        records: list[Record] = [
            Started(NOW, "shop.pay", (Event("e1", "n", {"text": "x" * size}, NOW, NOW),)),
            Claimed(NOW, "a/1", NOW + 9),
        ]
        assert runs.create(head(run_id, event_ids=("e1",)), records)
        assert runs.append(run_id, 2, [HandedOver(NOW)]) == APPENDED
        assert runs.append(run_id, 2, [HandedOver(NOW + 1)]) == Lost([HandedOver(NOW)])
        assert runs.read(run_id) == [*records, HandedOver(NOW)]
        assert runs.read(run_id, after=0) == [*records[1:], HandedOver(NOW)]
        assert runs.read(run_id, after=1) == [HandedOver(NOW)]
        assert runs.birth(run_id) == records[0]
        assert not runs.create(head(run_id), [BORN])


def test_one_append_told_twice_finds_itself(runs: RunStore) -> None:
    born(runs, "r1")
    assert runs.append("r1", 1, [HandedOver(NOW)]) == APPENDED
    assert runs.append("r1", 1, [HandedOver(NOW)]) == Lost([HandedOver(NOW)])


def test_reading_on(runs: RunStore) -> None:
    born(runs, "r1")
    runs.append("r1", 1, [HandedOver(1), HandedOver(2)])
    assert runs.read("r1", after=0) == [HandedOver(1), HandedOver(2)]
    assert runs.read("r1", after=1) == [HandedOver(2)]
    assert runs.read("r1", after=2) == []
    assert runs.read("r1", after=50) == []


def test_a_gap_is_an_error(runs: RunStore) -> None:
    born(runs, "r1")
    runs.append("r1", 1, [HandedOver(1)])
    runs.append("r1", 3, [HandedOver(3)])
    with pytest.raises(JournalError, match="r1 lacks record 2"):
        runs.read("r1")
    with pytest.raises(JournalError, match="r1 lacks record 2"):
        runs.read("r1", after=1)
    assert runs.read("r1", after=2) == [HandedOver(3)]


def test_opening_a_run_reads_its_head_and_what_its_snapshot_does_not_hold(runs: RunStore) -> None:
    assert runs.open("r1") is None
    made = born(runs, "r1")
    assert runs.open("r1") == (made, [BORN])
    records: list[Record] = [StepDone(str(i), "run", NOW, NOW) for i in range(120)]
    for number, record in enumerate(records, 1):
        assert runs.append("r1", number, [record]) == APPENDED
    assert runs.open("r1") == (made, [BORN, *records])
    runs.put_snapshot("r1", 119, b"folded")
    assert runs.append("r1", 121, [HandedOver(NOW)], HeadChange("running", 7, snapshot=119)) == APPENDED
    assert runs.append("r1", 122, [HandedOver(NOW), HandedOver(NOW)]) == APPENDED
    opened = runs.open("r1")
    assert opened is not None
    assert opened[0] == runs.head("r1")
    assert opened[1] == [records[-1], *[HandedOver(NOW)] * 3]


def test_opening_a_run_finds_a_gap(runs: RunStore) -> None:
    born(runs, "r1")
    runs.append("r1", 2, [HandedOver(2)])
    with pytest.raises(JournalError, match="r1 lacks record 1"):
        runs.open("r1")


def test_journals_do_not_mix(runs: RunStore) -> None:
    for run_id in ("r", "r1", "r10"):
        born(runs, run_id)
        runs.append(run_id, 1, [Cancelled(NOW, run_id)])
    assert runs.read("r1") == [BORN, Cancelled(NOW, "r1")]


# A store may remember a run that it just created; nobody may notice.


def test_an_append_is_seen_by_who_has_looked_before(runs: RunStore) -> None:
    made = born(runs, "r1")
    assert (runs.head("r1"), runs.read("r1"), runs.read("r1", after=0)) == (made, [BORN], [])
    claim = Claimed(NOW, "boot/1", NOW + 9)
    assert runs.append("r1", 1, [claim], HeadChange("waiting", 7)) == APPENDED
    assert runs.read("r1") == [BORN, claim]
    changed = runs.head("r1")
    assert changed is not None
    assert (changed.status, changed.due) == ("waiting", 7)


def test_an_append_that_lost_to_the_creation_finds_it(runs: RunStore) -> None:
    made = born(runs, "r1")
    assert runs.append("r1", 0, [HandedOver(NOW)], HeadChange("failed", None)) == Lost([BORN])
    assert (runs.head("r1"), runs.read("r1")) == (made, [BORN])


def test_a_change_or_a_new_due_time_is_seen_by_who_has_looked_before(runs: RunStore) -> None:
    for run_id in ("r1", "r2"):
        born(runs, run_id, due=100)
        assert runs.head(run_id) is not None
    runs.change("r1", HeadChange("completed", None))
    runs.redue("r2", 100, 200, "held")
    first, second = runs.head("r1"), runs.head("r2")
    assert first is not None
    assert second is not None
    assert (first.status, first.due) == ("completed", None)
    assert (second.due, second.reason) == (200, "held")


def test_what_a_caller_does_with_a_head_or_a_list_stays_with_it(runs: RunStore) -> None:
    made = head("r1")
    before = head("r1")
    assert runs.create(made, [BORN])
    made.status = "failed"
    for _ in range(2):
        found = runs.head("r1")
        assert unkept(found) == before
        found.status, found.due = "completed", None
        records = runs.read("r1")
        assert records == [BORN]
        born_again = records.pop()
        assert isinstance(born_again, Started)
        born_again.events[0].data["n"] = 2
    assert [unkept(one) for one in runs.overdue(NOW + 1_000, 9)] == [before]


def test_many_runs_that_nobody_has_looked_at(runs: RunStore, many: int) -> None:
    for n in range(many):
        assert runs.create(head(f"r{n}"), [BORN])
    for n in {0, 1, 4_095, 4_096, 4_097} & set(range(many)) | {many - 1}:
        assert unkept(runs.head(f"r{n}")) == head(f"r{n}")
        assert runs.read(f"r{n}") == [BORN]
        assert runs.append(f"r{n}", 1, [HandedOver(n)]) == APPENDED


# The head follows.


def test_a_change_leaves_what_it_does_not_name_but_due_and_reason(runs: RunStore) -> None:
    made = born(
        runs, "r1", reason="queued", version="v1", attempt=2, started_at=3, snapshot=4, needs_cleanup=True, end=5
    )
    assert runs.append("r1", 1, [HandedOver(NOW)], HeadChange("sleeping", None)) == APPENDED
    made.status, made.due, made.reason = "sleeping", None, None
    assert runs.head("r1") == made


def test_a_change_writes_all_that_it_names(runs: RunStore) -> None:
    made = born(runs, "r1")
    change = HeadChange(
        "failed", 7, reason="why", attempt=3, version="v9", started_at=1, ended_at=2, end=4, snapshot=5,
        needs_cleanup=True,
        admission=Admission(7), not_before=8, start_by=9, finish_by=10, event_ids=("e1", "e2"),
    )  # fmt: skip
    named = [name for name in HeadChange.__struct_fields__ if name != "kept"]
    assert None not in [getattr(change, name) for name in named]
    runs.append("r1", 1, [Ended(NOW, "failed")], change)
    for name in named:
        setattr(made, name, getattr(change, name))
    assert runs.head("r1") == made
    runs.append("r1", 2, [HandedOver(NOW)], HeadChange("running", 8, attempt=0, needs_cleanup=False))
    after = runs.head("r1")
    assert after is not None
    assert (after.attempt, after.needs_cleanup) == (0, False)


def test_a_change_of_an_append_that_lost_is_not_made(runs: RunStore) -> None:
    made = born(runs, "r1")
    assert runs.append("r1", 0, [Cancelled(NOW, "x")], HeadChange("cancelled", None)) == Lost([BORN])
    assert runs.head("r1") == made


def test_closing_a_head_twice(runs: RunStore) -> None:
    born(runs, "r1")
    closed = HeadChange("completed", None, ended_at=NOW, end=1)
    runs.change("r1", closed)
    once = runs.head("r1")
    runs.change("r1", closed)
    assert once is not None
    assert (once.status, once.due, once.end) == ("completed", None, 1)
    assert runs.head("r1") == once


# Due times.


def test_redue_moves_only_what_has_not_moved(runs: RunStore) -> None:
    born(runs, "r1", due=100)
    runs.redue("r1", 100, 200, "held")
    runs.redue("r1", 100, 300)
    moved = runs.head("r1")
    assert moved is not None
    assert (moved.due, moved.reason) == (200, "held")
    runs.redue("r1", 200, 300)
    moved = runs.head("r1")
    assert moved is not None
    assert (moved.due, moved.reason) == (300, None)


def test_redue_does_not_open_a_closed_run(runs: RunStore) -> None:
    born(runs, "r1", due=None, status="completed")
    runs.redue("r1", None, 300)
    runs.redue("r1", 100, 300)
    closed = runs.head("r1")
    assert closed is not None
    assert closed.due is None


def test_overdue_is_the_most_overdue_first(runs: RunStore) -> None:
    for run_id, due in (("a", 30), ("b", 10), ("c", 20), ("d", 31), ("e", None)):
        born(runs, run_id, due=due)
    assert ids(runs.overdue(30, 10)) == ["b", "c", "a"]
    assert ids(runs.overdue(30, 2)) == ["b", "c"]
    assert runs.overdue(9, 10) == []
    runs.redue("b", 10, 40)
    assert ids(runs.overdue(40, 10)) == ["c", "a", "d", "b"]


# Lists.


def pages(runs: RunStore, **query: object) -> list[str]:
    """All pages of two, through the cursor."""
    found: list[str] = []
    cursor: tuple[int, str] | None = None
    while page := runs.page(RunQuery(limit=2, cursor=cursor, **query)):  # type: ignore[arg-type]  # as `head`
        assert len(page) <= 2
        found += ids(page)
        cursor = (page[-1].created_at, page[-1].run_id)
    assert len(found) == len(set(found))
    return found


def test_lists_are_newest_first(runs: RunStore) -> None:
    for run_id, at in (("x", NOW), ("b", NOW + 2), ("c", NOW + 1), ("a", NOW + 3), ("d", NOW + 4)):
        born(runs, run_id, at)
    assert pages(runs) == ["d", "a", "b", "c", "x"]
    assert ids(runs.page(RunQuery(limit=50))) == ["d", "a", "b", "c", "x"]
    assert pages(runs, after=NOW + 1) == ["d", "a", "b"]


def test_pages_lose_nothing_of_one_millisecond(runs: RunStore) -> None:
    names = [f"r{(i * 7) % 11}" for i in range(11)]
    for run_id in names:
        born(runs, run_id)
    assert sorted(pages(runs)) == sorted(names)
    assert sorted(pages(runs, function_id="shop.pay", status="running")) == sorted(names)


def test_a_part_of_a_map_is_in_no_list(runs: RunStore) -> None:
    born(runs, "whole", user="u1", event_ids=("e1",))
    born(runs, "part", user="u1", parent=Parent("whole", "shop.pay", "m", 0, 2))
    born(runs, "child", user="u1", parent=Parent("whole", "shop.pay", "i"))
    for query in ({}, {"function_id": "shop.pay"}, {"user": "u1"}, {"status": "running"}):
        assert sorted(pages(runs, **query)) == ["child", "whole"]
    assert runs.head("part") is not None


def test_new_runs_do_not_shift_the_next_page(runs: RunStore) -> None:
    for i in range(4):
        born(runs, f"r{i}", NOW + i)
    first = runs.page(RunQuery(limit=2))
    born(runs, "new", NOW + 9)
    rest = runs.page(RunQuery(limit=2, cursor=(first[-1].created_at, first[-1].run_id)))
    assert (ids(first), ids(rest)) == (["r3", "r2"], ["r1", "r0"])


STATUSES: tuple[RunStatus, ...] = ("completed", "failed", "running", "completed")


def test_filters(runs: RunStore) -> None:
    number = 0
    for function_id in ("shop.pay", "shop.ship"):
        for user in ("u1", "u2", None):
            for status in STATUSES:
                born(runs, f"r{number:02}", NOW + number, function_id=function_id, user=user, status=status)
                number += 1
    assert pages(runs, function_id="shop.ship", user="u1") == ["r15", "r14", "r13", "r12"]
    assert pages(runs, status="failed") == ["r21", "r17", "r13", "r09", "r05", "r01"]
    assert pages(runs, status="completed", function_id="shop.pay", after=NOW + 4) == ["r11", "r08", "r07"]
    assert pages(runs, status="failed", function_id="shop.pay") == ["r09", "r05", "r01"]
    assert pages(runs, status="completed", user="u2") == ["r19", "r16", "r07", "r04"]
    assert pages(runs, status="running", user="u2", function_id="shop.pay") == ["r06"]
    assert pages(runs, status="sleeping") == []
    assert pages(runs, function_id="shop.nothing") == []
    for query in (
        {}, {"user": "u2"}, {"status": "failed"}, {"status": "completed"}, {"status": "running"},
        {"function_id": "shop.ship"}, {"function_id": "shop.pay", "status": "running"},
    ):  # fmt: skip
        assert pages(runs, oldest=True, **query) == pages(runs, **query)[::-1]
        between = [name for name in pages(runs, **query) if "r05" <= name < "r17"]
        assert pages(runs, after=NOW + 4, before=NOW + 17, **query) == between
        assert pages(runs, after=NOW + 4, before=NOW + 17, oldest=True, **query) == between[::-1]
        assert pages(runs, after=NOW + 17, before=NOW + 4, oldest=True, **query) == []
    assert pages(runs, user="nobody") == []


def test_a_status_filter_follows_the_head(runs: RunStore) -> None:
    born(runs, "r1")
    runs.append("r1", 1, [Ended(NOW, "completed")], HeadChange("completed", None))
    assert pages(runs, status="running") == []
    assert pages(runs, status="completed") == ["r1"]


def test_the_runs_of_an_event_oldest_first(runs: RunStore) -> None:
    born(runs, "z", NOW, event_ids=("e1",))
    born(runs, "a", NOW + 1, event_ids=("e0", "e1", "e1"))
    born(runs, "b", NOW + 2, event_ids=("e2",))
    assert ids(runs.of_event("e1")) == ["z", "a"]
    assert ids(runs.of_event("e0")) == ["a"]
    assert runs.of_event("e9") == []


def test_an_event_that_a_run_has_gathered_finds_it(runs: RunStore) -> None:
    born(runs, "r1", event_ids=("e1",))
    runs.append("r1", 1, [HandedOver(NOW)], HeadChange("scheduled", 9, event_ids=("e1", "e2")))
    assert ids(runs.of_event("e2")) == ids(runs.of_event("e1")) == ["r1"]
    assert pages(runs) == ["r1"]


# What else hangs on a run.


def test_chunks_are_counted_once_each(runs: RunStore) -> None:
    assert [runs.chunk_done("r1", "m", chunk) for chunk in (2, 0, 2, 0, 1)] == [1, 2, 2, 2, 3]
    assert runs.chunk_done("r1", "n", 0) == 1
    assert runs.chunk_done("r2", "m", 0) == 1


def test_as_many_chunks_as_a_map_may_have(runs: RunStore) -> None:
    assert [runs.chunk_done("r1", "m" * 256 + "/ü", chunk) for chunk in range(MAP_CHUNKS)] == [
        *range(1, MAP_CHUNKS + 1)
    ]


def test_how_many_runs_each_function_has_open(runs: RunStore) -> None:
    for number, status in enumerate(("scheduled", "scheduled", "running", "waiting", "completed")):
        born(runs, f"r{number}", status=status)
    born(runs, "other", function_id="shop.ship")
    born(runs, "closed", function_id="shop.old", due=None, status="completed")
    runs.append("r1", 1, [HandedOver(NOW)], HeadChange("running", NOW + 5))
    runs.append("r2", 1, [Ended(NOW, "completed")], HeadChange("completed", None))
    counts = runs.counts()
    assert {f: {s: n for s, n in of.items() if n} for f, of in counts.items() if any(of.values())} == {
        "shop.pay": {"scheduled": 1, "running": 1},
        "shop.ship": {"running": 1},
    }


def test_how_many_runs_of_each_function_sleep_or_wait(runs: RunStore) -> None:
    for number, status in enumerate(("sleeping", "waiting", "running", "completed")):
        born(runs, f"r{number}", status=status)
    born(runs, "other", function_id="shop.ship", status="waiting")
    runs.append("r1", 1, [Ended(NOW, "completed")], HeadChange("completed", None))
    runs.append("other", 1, [HandedOver(NOW)], HeadChange("running", NOW + 5))
    assert {function_id: count for function_id, count in runs.idle().items() if count} == {"shop.pay": 1}


def test_snapshots(runs: RunStore) -> None:
    born(runs, "r1")
    born(runs, "r2")
    assert runs.snapshot("r1", 3) is None
    runs.put_snapshot("r1", 3, b"three")
    runs.put_snapshot("r1", 3, b"three again")
    assert runs.snapshot("r1", 3) == b"three again"
    assert runs.snapshot("r2", 3) is None
    runs.put_snapshot("r1", 9, b"")
    assert runs.snapshot("r1", 9) == b""
    runs.put_snapshot("r1", 10, b"x" * 500_000)
    assert runs.snapshot("r1", 10) == b"x" * 500_000
    runs.put_snapshot("r1", 11, b"x" * 600_000)
    assert runs.snapshot("r1", 11) == b"x" * 600_000
    assert [runs.snapshot("r1", seq) for seq in (3, 9, 10)] == [None, None, None], "each takes the place of the last"
    assert runs.read("r1") == [BORN]


def test_an_outsiders_record_comes_between(runs: RunStore) -> None:
    """The protocol in small: who lost folds in what it found, and appends after it."""
    born(runs, "r1")
    runs.append("r1", 1, [Claimed(NOW, "a/1", NOW + 9)])
    match = Resolved("w", NOW, event=EVENT, label="yes")
    assert runs.append("r1", 2, [match]) == APPENDED
    assert runs.append("r1", 2, [StepDone("s", "run", NOW, NOW)]) == Lost([match])
    assert runs.append("r1", 3, [StepDone("s", "run", NOW, NOW)]) == APPENDED


def test_renewing_a_run_changes_nothing_that_is_read(runs: RunStore) -> None:
    made = born(runs, "r1")
    runs.append("r1", 1, [HandedOver(NOW), HandedOver(NOW + 1)])
    runs.put_snapshot("r1", 1, b"folded")
    runs.chunk_done("r1", "each", 3)
    for _ in range(2):
        runs.renew("r1", NOW + 400 * DAY)
    assert unkept(runs.head("r1")) == unkept(made)
    assert runs.read("r1") == [BORN, HandedOver(NOW), HandedOver(NOW + 1)]
    assert runs.snapshot("r1", 1) == b"folded"
    assert runs.chunk_done("r1", "each", 4) == 2
    found = runs.head("r1")
    assert found is not None
    assert found.kept is None or found.kept >= NOW + 400 * DAY
    runs.renew("unknown", NOW)
    assert runs.head("unknown") is None


def test_a_run_that_is_born_with_very_many_records(runs: RunStore) -> None:
    """As a rerun from the last step of a long run is."""
    steps: list[Record] = [StepDone(f"step {n}", "run", NOW, NOW, value=b"1") for n in range(84_000)]
    assert runs.create(head("r1"), [BORN, *steps])
    assert not runs.create(head("r1"), [BORN, *steps])
    assert runs.read("r1", 83_998) == steps[-2:]
    assert len(runs.read("r1")) == 84_001
    assert runs.append("r1", 84_001, steps[:3_000]) == APPENDED
    assert runs.append("r1", 84_001, steps[:3_000]) == Lost(steps[:3_000])
