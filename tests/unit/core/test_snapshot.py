"""A snapshot holds all that a wake-up needs to know of the records that it stands for."""

from __future__ import annotations

import msgspec

from tidemill.core import snapshot
from tidemill.core.journal import (
    AttemptFailed,
    Blocked,
    Claimed,
    Resolved,
    Started,
    StepDone,
    StepTried,
    Suspended,
)
from tidemill.core.state import RunState, fold
from tidemill.model import Condition, Event, Failure, Wait

FAILURE = Failure("ValueError", "no", "stack", "b")
WAIT = Wait("r1", "shop.work", "w", "call", Condition("data.n", "h"), 999, label="x", own="e1")
NAP = Blocked("nap", "sleep", 3_000, 4_000)
WAITING = Blocked("w", "wait", 3_000, None, "call", (WAIT,))
RECORDS = [
    Started(1_000, "shop.work", (Event("e1", "go", {"n": 1}, 1_000, 1_000),)),
    Claimed(1_001, "x", 40_000, "1"),
    AttemptFailed(1_002, 1, FAILURE, 2_000),
    Claimed(2_000, "y", 40_000, "1"),
    StepDone("a", "run", 2_001, 2_002, 2, b"1"),
    StepTried("b", "run", 2_001, 2_002, 1, FAILURE, 9_000),
    Suspended(
        3_000, 4_000, (Blocked("nap", "sleep", 3_000, 4_000), Blocked("w", "wait", 3_000, None, "call", (WAIT,)))
    ),
    Claimed(4_000, "z", 40_000, "1"),
    Resolved("v", 4_001, event=Event("c1", "call", {}, 4_000, 4_000), label="x", wait="digest"),
    Resolved("i", 4_002, b"[1]"),
]


def test_it_holds_every_part_of_the_state():
    state = snapshot.decode(snapshot.encode(fold(RECORDS)))
    assert state.seq == 9
    assert state.birth == RECORDS[0]
    assert state.first_claim == RECORDS[1]
    assert state.attempt == 2
    assert state.done == {"a": RECORDS[4], "nap": StepDone("nap", "sleep", 3_000, 4_000)}
    assert state.tried == {"b": RECORDS[5]}
    assert state.blocked == {"w": WAITING}
    assert state.resolved == {"v": RECORDS[8], "i": RECORDS[9]}
    assert [taken.event_id for taken in state.taken["digest"]] == ["c1"]
    assert state.completion_order == {"a": 0, "nap": 1, "v": 2, "i": 3}


def test_its_outline_lacks_nothing_but_what_is_done():
    whole = fold(RECORDS)
    data = snapshot.encode(whole)
    found, restored = snapshot.outline(data), snapshot.decode(data)
    for told in (found, restored):
        told.add([Suspended(9_000, None, (WAITING,)), Resolved("w", 9_001, b"1")])
    assert (found.seq, found.blocked, found.resolved, found.taken, found.suspended) == (
        restored.seq, restored.blocked, restored.resolved, restored.taken, restored.suspended,
    )  # fmt: skip
    assert found.done == {}
    assert not isinstance(found, RunState)


def test_it_holds_the_order_in_which_the_code_heard():
    told = [Resolved("v", 5_001, b"1"), Resolved("i", 5_002, b"1"), StepDone("v", "run", 5_003, 5_004)]
    state = snapshot.decode(snapshot.encode(fold([*RECORDS[:2], *told])))
    assert list(state.completion_order.items()) == [("i", 0), ("v", 1)]
    state.add([StepDone("b", "run", 5_005, 5_006)])
    assert list(state.completion_order.items()) == [("i", 0), ("v", 1), ("b", 2)]


def test_it_says_nothing_of_claims():
    state = snapshot.decode(snapshot.encode(fold(RECORDS)))
    assert (state.claim, state.suspended, state.ready, state.crashes, state.terminal) == (None, None, False, 0, None)


def test_format_1():
    """These bytes are in stores: a change is a new format, with a way to read the old."""
    state = fold([Started(1, "f", (Event("e", "go", {}, 1, 1),)), Claimed(2, "x", 3), StepDone("a", "run", 4, 5)])
    event = {"id": "e", "name": "go", "data": {}, "ts": 1, "received_at": 1}
    known = [
        2,
        [0, 1, "f", [event], "", None, None, [], 1, False, False],
        [1, 2, "x", 3, ""],
        [[2, "a", "run", 4, 5, 1, None, None]],
        [], [], [], [], None, ["a"],
    ]  # fmt: skip
    assert msgspec.msgpack.decode(snapshot.encode(state)) == [*known, 0, None, [], {}, {}, None, []]
    without_timer = snapshot.decode(msgspec.msgpack.encode(known))  # as it was first written
    assert (without_timer.done, without_timer.timer) == (state.done, 0)


def test_it_holds_until_when_the_run_has_needed_a_timer():
    state = fold([*RECORDS[:2], Suspended(5_001, 2_000_000, (WAITING,)), Claimed(5_002, "y", 9_000)])
    assert snapshot.decode(snapshot.encode(state)).timer == 2_000_000
