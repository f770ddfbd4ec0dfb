"""What a journal amounts to, whatever is in it and wherever it is cut; and what its records look like on disk."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tidemill.core import snapshot
from tidemill.core.journal import (
    FORMAT,
    Admitted,
    AttemptFailed,
    Begun,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    Gathered,
    HandedOver,
    Patched,
    Record,
    Resolved,
    Skipped,
    Started,
    StepDone,
    StepTried,
    Suspended,
    Terminal,
    Validated,
    WindowSet,
    decode,
    encode,
)
from tidemill.core.state import RunState, fold, suspended_status
from tidemill.errors import JournalError
from tidemill.model import Admission, Condition, Event, Failure, Parent, Place, Wait

BIRTH = Started(1_000, "shop.work", (Event("e1", "go", {"n": 1}, 1_000, 1_000),))
FAILURE = Failure("ValueError", "no")
CALL = Event("c1", "call", {"n": 1}, 5_000, 5_001)

keys = st.sampled_from(["a", "b", "c", "p0/1/a"])
times = st.integers(1_000, 100_000)
failures = st.builds(Failure, st.just("ValueError"), st.text(max_size=5), retry_after=st.none() | times)
kinds = st.sampled_from(["run", "sleep", "wait", "signal", "invoke", "send", "map"])
events = st.builds(Event, st.sampled_from(["c1", "c2"]), st.just("call"), st.just({"n": 1}), times, times)
blocks = st.builds(Blocked, keys, kinds, times, st.none() | times)
resolutions = st.builds(
    Resolved, keys, times, st.none() | st.binary(max_size=3), st.none() | failures, st.none() | events,
    st.sampled_from(["", "x"]), st.sampled_from(["", "digest"]),
)  # fmt: skip
open_records = st.one_of(
    st.builds(Claimed, times, st.sampled_from(["x", "y"]), times),
    st.builds(StepDone, keys, kinds, times, times, st.integers(1, 5), st.none() | st.binary(max_size=3)),
    st.builds(StepTried, keys, st.just("run"), times, times, st.integers(1, 5), failures, times),
    st.builds(AttemptFailed, times, st.integers(1, 5), failures, times),
    st.builds(Suspended, times, st.none() | times, st.lists(blocks, max_size=3).map(tuple)),
    st.builds(HandedOver, times, st.lists(blocks, max_size=3).map(tuple)),
    resolutions,
    st.builds(Admitted, times, st.builds(Admission, times), st.none() | times),
    st.builds(Gathered, times, events.filter(lambda event: event is not None), st.booleans()),
)
terminals = st.one_of(
    st.builds(Ended, times, st.just("completed"), st.binary(max_size=3)),
    st.builds(Ended, times, st.just("failed"), st.none(), failures),
    st.builds(Cancelled, times, st.text(max_size=3)),
    st.builds(Skipped, times, st.text(max_size=3)),
)
journals = st.lists(open_records, max_size=25).map(lambda found: [BIRTH, *found])


def numberless(state: RunState) -> RunState:
    taken = {digest: [replace(each, seq=0) for each in several] for digest, several in state.taken.items()}
    return replace(state, seq=0, end=0, taken=taken)


# Laws that hold for every journal.


@given(journals, st.lists(open_records | terminals, max_size=8), st.integers(0, 30))
def test_it_is_the_same_wherever_reading_is_interrupted(records, more, cut):
    whole = [*records, *more]
    state = fold(whole[:cut])
    state.add(whole[cut:])
    assert state == fold(whole)
    assert state.seq == len(whole) - 1


@given(journals, st.builds(Suspended, times, st.none() | times, st.lists(blocks, max_size=3).map(tuple)),
       st.lists(open_records | terminals, max_size=8))  # fmt: skip
def test_a_snapshot_and_what_came_after_is_the_whole(records, suspended, rest):
    state = snapshot.decode(snapshot.encode(fold(records)))
    state.add([suspended, *rest])
    assert state == fold([*records, suspended, *rest])


@given(journals)
def test_a_snapshot_of_a_snapshot_is_the_same_snapshot(records):
    data = snapshot.encode(fold(records))
    assert snapshot.encode(snapshot.decode(data)) == data


@given(journals, st.data())
def test_what_outsiders_tell_twice_changes_nothing(records, data):
    told = [number for number, record in enumerate(records) if isinstance(record, Resolved)]
    if not told:
        return
    number = data.draw(st.sampled_from(told))
    again = data.draw(st.integers(number + 1, len(records)))
    assert numberless(fold([*records[:again], records[number], *records[again:]])) == numberless(fold(records))


@given(journals, terminals, st.lists(open_records | terminals, max_size=8))
def test_the_first_terminal_record_decides(records, terminal, after):
    state = fold([*records, terminal, *after])
    ended = fold([*records, terminal])
    assert (state.terminal, state.end, state.claim) == (terminal, len(records), None)
    assert numberless(state) == numberless(ended)


@given(journals)
def test_the_first_that_came_for_a_step_counts(records):
    state = fold(records)
    first: dict[str, Resolved] = {}
    done: set[str] = set()
    for number, record in enumerate(records):
        done |= fold(records[: number + 1]).done.keys()
        if isinstance(record, Resolved) and record.key not in done:
            first.setdefault(record.key, record)
    assert state.resolved == first
    taken = {(digest, each.event_id) for digest, several in state.taken.items() for each in several}
    assert taken == {(r.wait, r.event.id) for r in first.values() if r.event is not None}


@given(st.lists(open_records | terminals, max_size=25))
def test_every_record_is_read_as_it_was_written(records):
    assert [decode(encode(record)) for record in records] == records


# What single records do.


def state_of(*records: Record) -> RunState:
    return fold([BIRTH, *records])


def claim(at: int = 2_000, by: str = "x") -> Claimed:
    return Claimed(at, by, at + 30_000)


def test_the_first_result_of_a_step_stands():
    state = state_of(claim(), StepDone("a", "run", 1, 2, value=b"1"), StepDone("a", "run", 1, 3, value=b"2"))
    assert state.done["a"].value == b"1"


def test_a_sleep_is_over_at_the_claim_that_follows_its_end():
    asleep = Suspended(3_000, 5_000, (Blocked("nap", "sleep", 3_000, 5_000), Blocked("long", "sleep", 3_000, 9_000)))
    assert "nap" in state_of(claim(), asleep).blocked
    assert "nap" in state_of(claim(), asleep, claim(4_999)).blocked
    state = state_of(claim(), asleep, claim(5_000))
    assert state.done["nap"] == StepDone("nap", "sleep", 3_000, 5_000)
    assert list(state.blocked) == ["long"]


def test_only_sleeps_end_by_themselves():
    blocked = (Blocked("w", "wait", 1, 5_000), Blocked("r", "run", 1, 5_000), Blocked("i", "invoke", 1, 5_000))
    state = state_of(claim(), Suspended(3_000, 5_000, blocked), claim(6_000))
    assert list(state.blocked) == ["w", "r", "i"]
    assert state.done == {}


@pytest.mark.parametrize(
    ("records", "crashes"),
    [
        ([claim()], 0),
        ([claim(), claim(by="y")], 1),
        ([claim(), claim(by="y"), claim(by="z")], 2),
        ([claim(), Suspended(3_000, None, ()), claim()], 0),
        ([claim(), HandedOver(3_000), claim()], 0),
        ([claim(), AttemptFailed(3_000, 1, FAILURE, 4_000), claim()], 0),
        ([claim(), claim(), StepDone("a", "run", 1, 2)], 0),
        ([claim(), claim(), StepTried("a", "run", 1, 2, 1, FAILURE, 3)], 0),
        ([claim(), claim(), Resolved("w", 3_000)], 1),
        ([claim(), claim(), Suspended(3_000, None, ()), claim()], 0),
        ([claim(), Resolved("w", 3_000), claim()], 1),
    ],
)
def test_a_claim_that_follows_a_claim_is_a_crash_until_there_is_progress(records, crashes):
    assert state_of(*records).crashes == crashes


def test_who_suspends_has_seen_what_came_before():
    waits = Blocked("w", "wait", 1)
    assert not state_of(claim(), Resolved("x", 1), Suspended(3_000, None, (waits,))).ready
    assert state_of(claim(), Suspended(3_000, None, (waits,)), Resolved("w", 4_000)).ready
    assert not state_of(claim(), Suspended(3_000, None, (waits,)), Resolved("w", 4_000), claim()).ready
    assert state_of(claim(), HandedOver(3_000, (waits,))).ready


def test_what_came_is_no_longer_waited_for():
    waits = Suspended(3_000, None, (Blocked("w", "wait", 1), Blocked("v", "wait", 1)))
    state = state_of(claim(), waits, Resolved("w", 4_000, event=CALL, wait="digest"))
    assert list(state.blocked) == ["v"]
    assert [(taken.event_id, taken.key) for taken in state.taken["digest"]] == [("c1", "w")]
    assert Resolved("v", 4_000).event is None, "a timeout takes nothing"


def test_attempts_of_the_function():
    assert state_of(claim()).attempt == 1
    assert state_of(claim(), AttemptFailed(3_000, 1, FAILURE, 4_000), claim()).attempt == 2


def test_a_journal_of_a_newer_format_is_refused():
    with pytest.raises(JournalError, match="format 2"):
        fold([msgspec.structs.replace(BIRTH, format=FORMAT + 1)])


def test_a_journal_without_its_beginning_is_told():
    with pytest.raises(JournalError, match="does not begin"):
        _ = fold([claim()]).birth


@pytest.mark.parametrize(
    ("blocked", "status"),
    [
        (("sleep",), "sleeping"), (("run",), "running"), (("run", "sleep"), "sleeping"), (("sleep", "wait"), "waiting"),
        (("signal",), "waiting"), (("invoke", "run"), "waiting"), (("map",), "waiting"), ((), "running"),
    ],
)  # fmt: skip
def test_what_a_suspended_run_is_doing(blocked, status):
    assert suspended_status(Blocked("k", kind, 1) for kind in blocked) == status


# Format 1. These bytes are in every journal there is: a change here is a new format, with a way to read the old.

WAIT = Wait("r1", "shop.work", "w", "call", Condition("data.n", "h", "async.data.n > 1"), 999, 9_000, "x", own="e1")
GOLDEN: list[tuple[Record, list[Any]]] = [
    (
        Started(1_000, "shop.work", (Event("e1", "go", {"n": 1}, 1_000, 1_001),)),
        [0, 1_000, "shop.work", [{"id": "e1", "name": "go", "data": {"n": 1}, "ts": 1_000, "received_at": 1_001}]],
    ),
    (
        Started(
            1_000, "shop.work", (Event("e1", "go", {}, 1, 2, {"id": "u"}, "v1"),), "1",
            Parent("r0", "shop.all", "k", 2, 5), b"{}", ("note",),
        ),
        [
            0, 1_000, "shop.work",
            [{"id": "e1", "name": "go", "data": {}, "ts": 1, "received_at": 2, "user": {"id": "u"}, "v": "v1"}],
            "1", {"run_id": "r0", "function_id": "shop.all", "key": "k", "chunk": 2, "chunks": 5}, b"{}", ["note"],
        ],
    ),
    (Claimed(1_000, "x", 2_000), [1, 1_000, "x", 2_000]),
    (Claimed(1_000, "x", 2_000, "7"), [1, 1_000, "x", 2_000, "7"]),
    (StepDone("a", "run", 1, 2), [2, "a", "run", 1, 2]),
    (
        StepDone("a", "run", 1, 2, 3, b"1", FAILURE),
        [2, "a", "run", 1, 2, 3, b"1", {"type": "ValueError", "message": "no"}],
    ),
    (
        StepTried("a", "run", 1, 2, 3, Failure("E", "m", "s", "a", False, 9), 4),
        [
            3, "a", "run", 1, 2, 3,
            {"type": "E", "message": "m", "stack": "s", "step_id": "a", "retriable": False, "retry_after": 9}, 4,
        ],
    ),
    (AttemptFailed(1, 2, FAILURE, 3), [4, 1, 2, {"type": "ValueError", "message": "no"}, 3]),
    (Suspended(1, None, ()), [5, 1, None, []]),
    (
        Suspended(1, 9_000, (Blocked("w", "wait", 1, 9_000, "call", (WAIT,)), Blocked("s", "sleep", 1, 2))),
        [
            5, 1, 9_000,
            [
                ["w", "wait", 1, 9_000, "call", [{
                    "run_id": "r1", "function_id": "shop.work", "key": "w", "name": "call",
                    "condition": {"path": "data.n", "hash": "h", "when": "async.data.n > 1"},
                    "after": 999, "until": 9_000, "label": "x", "own": "e1",
                }]],
                ["s", "sleep", 1, 2, "", []],
            ],
        ],
    ),
    (HandedOver(1), [6, 1]),
    (HandedOver(1, (Blocked("s", "sleep", 1, 2),)), [6, 1, [["s", "sleep", 1, 2, "", []]]]),
    (Resolved("w", 1), [7, "w", 1]),
    (Resolved("w", 1, b"1"), [7, "w", 1, b"1"]),
    (
        Resolved("w", 1, event=Event("c", "call", {}, 1, 2), label="x", wait="d"),
        [7, "w", 1, None, None, {"id": "c", "name": "call", "data": {}, "ts": 1, "received_at": 2}, "x", "d"],
    ),
    (Ended(1, "completed", b"{}"), [8, 1, "completed", b"{}"]),
    (Ended(1, "failed", None, FAILURE), [8, 1, "failed", None, {"type": "ValueError", "message": "no"}]),
    (Cancelled(1, "why"), [9, 1, "why"]),
    (Skipped(1, "why"), [10, 1, "why", "", None]),
    (
        Admitted(1, Admission(-5, (Place("f/h", 2, "runs", "u1"),), Place("s/", 1)), 9),
        [11, 1, [-5, [["f/h", 2, "runs", "u1"]], ["s/", 1, "steps", ""]], 9],
    ),
    (
        Gathered(1, Event("e2", "go", {"n": 1}, 1, 2), True),
        [12, 1, {"id": "e2", "name": "go", "data": {"n": 1}, "ts": 1, "received_at": 2}, True],
    ),
    (Gathered(1, None, True, True, 7), [12, 1, None, True, True, 7]),
    (WindowSet(1, False), [13, 1, False]),
    (Begun(1, "each", 3), [14, 1, "each", 3]),
    (Validated(1, (b"{}",)), [15, 1, [b"{}"]]),
    (Patched(1, "check first", True), [16, 1, "check first", True]),
]  # fmt: skip


DEFAULTS: dict[type, list[Any]] = {  # what stands at the end of a record that does not say otherwise
    Started: ["", None, None, [], 1, False, False],
    Claimed: [""],
    StepDone: [1, None, None],
    HandedOver: [[], []],
    Resolved: [None, None, None, "", "", None],
    Suspended: [False, []],
    Ended: [None, None],
    Gathered: [False, 0],
    Admitted: [False, ""],
}


@pytest.mark.parametrize(("record", "written"), GOLDEN, ids=lambda value: type(value).__name__)
def test_format_1(record, written):
    assert FORMAT == 1
    defaults = DEFAULTS.get(type(record), [])
    fields = 1 + len(record.__struct_fields__)
    assert msgspec.msgpack.decode(encode(record)) == [*written, *defaults[len(defaults) - (fields - len(written)) :]]


@pytest.mark.parametrize(("record", "written"), GOLDEN, ids=lambda value: type(value).__name__)
def test_a_record_without_the_fields_that_came_later_is_read(record, written):
    assert decode(msgspec.msgpack.encode(written)) == record


def test_every_type_of_record_has_its_place_in_the_format():
    assert {type(record) for record, _ in GOLDEN} == set(get_args(Record))
    assert {type(record) for record, _ in GOLDEN} >= set(Terminal)
