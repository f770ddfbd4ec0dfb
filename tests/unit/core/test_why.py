"""Every state that a run can be in has exactly one reason, and the reason agrees with what the engine would do."""

from __future__ import annotations

from itertools import product

import pytest

from tidemill.core.journal import (
    Admitted,
    AttemptFailed,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    Gathered,
    HandedOver,
    Record,
    Resolved,
    Skipped,
    Started,
    StepTried,
    Suspended,
)
from tidemill.core.next_action import next_action
from tidemill.core.state import fold
from tidemill.core.step_keys import attempt_key
from tidemill.core.why import Facts, Line, Why, why
from tidemill.model import Admission, Event, EventTrigger, Failure, FunctionSpec, Head, Pause, Place, StepKind

NOW = 100_000
EVENT = Event("e1", "go", {"user": "u1"}, 1, 1)
BIRTH = Started(1, "shop.pay", (EVENT,))
CLAIM = Claimed(2, "worker/1", 200_000)
FAILURE = Failure("ValueError", "boom")
THROTTLE = {"limit": 2, "period": 60_000, "burst": 1, "key": "event.data.user"}
SPEC = FunctionSpec("shop.pay", "shop", "pay", (EventTrigger("go"),), flow={"throttle": THROTTLE})
LINE = Line(Place("f/k", 2, label="u1"), ("r1", "r2"), 3)
PAUSE = Pause(5, "ann")


def blocked(kind: StepKind, until: int | None, key: str = "a", name: str = "") -> list[Record]:
    return [CLAIM, Suspended(3, until, (Blocked(key, kind, 3, until, name),))]


TRIED = StepTried("a", "run", 2, 3, 1, FAILURE, 150_000)
JOURNALS: dict[
    str, tuple[list[Record], str | None]
] = {  # what stands after the birth; the reason while nothing else is
    "born": ([], None),
    "admitted": ([Admitted(2, Admission(1))], None),
    "claimed": ([CLAIM], None),
    "handed over": ([CLAIM, HandedOver(3)], None),
    "asleep": (blocked("sleep", 150_000), "sleep"),
    "slept": (blocked("sleep", 50_000), None),
    "event": (blocked("wait", 150_000, name="paid"), "event"),
    "event without end": (blocked("wait", None, name="paid"), "event"),
    "event that came": ([*blocked("wait", None, name="paid"), Resolved("a", 4, event=EVENT)], None),
    "signal": (blocked("signal", 150_000, name="ok"), "signal"),
    "child": (blocked("invoke", None, name="shop.other"), "child"),
    "map": (blocked("map", None), "map"),
    "step retries": ([CLAIM, TRIED, Suspended(3, 150_000, (Blocked("a", "run", 3, 150_000),))], "retry"),
    "function retries": ([CLAIM, AttemptFailed(3, 1, FAILURE, 150_000)], "retry"),
    "function is tried": ([CLAIM, AttemptFailed(3, 1, FAILURE, 50_000)], None),
    "elsewhere": (blocked("run", None, attempt_key("a", 1)), "running"),
    "completed": ([CLAIM, Ended(3, "completed")], "ended"),
    "failed": ([CLAIM, Ended(3, "failed", failure=FAILURE)], "ended"),
    "cancelled": ([Cancelled(3, "by hand")], "ended"),
    "skipped": ([Skipped(3, "over the rate limit")], "ended"),
    "crashed once": ([CLAIM, CLAIM], None),
    "crashed out": ([CLAIM] * 6, None),
}
HEADS: dict[str, tuple[dict[str, object], list[Record], str | None]] = {
    "now": ({}, [], None),
    "later": ({"not_before": 150_000}, [], "begins_later"),
    "its turn": ({"not_before": 150_000}, [Admitted(2, Admission(1), begin=150_000)], "throttle"),
    "debounced": ({"not_before": 150_000, "gathers": True}, [Gathered(2, EVENT, last=True)], "debounce"),
    "batched": ({"not_before": 150_000, "gathers": True}, [Gathered(2, EVENT)], "batch"),
    "finishes by": ({"finish_by": 150_000}, [], None),
    "overdue": ({"finish_by": 50_000}, [], None),
    "unbegun": ({"start_by": 50_000}, [], None),
}
CLAIMABLE = {"queued", "paused", "concurrency"}


def reason(records: list[Record], fields: dict[str, object], spec: FunctionSpec | None, facts: Facts) -> Why:
    head = Head("r", "shop.pay", "scheduled", 1, 1, **fields)  # type: ignore[arg-type]
    state = fold([BIRTH, *records])
    found = why(head, state, spec, facts)
    action = next_action(state, head, spec, facts.alive and state.claim is not None, facts.now)
    expected = {"finish": {"ended"}, "hold": {"held"}, "claim": CLAIMABLE, "cancel": {"queued"}, "fail": {"queued"}}
    if action.do == "later":
        assert found.code not in CLAIMABLE | {"ended", "held"}
    else:
        assert found.code in expected[action.do]
    assert found.sentence.endswith(".")
    assert None not in found.details.values()
    return found


STATES = list(product(JOURNALS, HEADS, (SPEC, None), (False, True), (None, PAUSE), (None, LINE)))


def test_every_state_has_a_reason_that_agrees_with_the_engine() -> None:
    seen: set[str] = set()
    for journal, head, spec, alive, pause, line in STATES:
        fields, before, _ = HEADS[head]
        facts = Facts(NOW, alive, pause, line)
        seen.add(reason([*before, *JOURNALS[journal][0]], fields, spec, facts).code)
    assert seen == {
        "ended", "begins_later", "queued", "running", "concurrency", "throttle", "debounce", "batch", "paused", "held",
        "sleep", "event", "signal", "child", "map", "retry",
    }  # fmt: skip


@pytest.mark.parametrize("journal", JOURNALS)
def test_the_journal_tells_what_a_run_waits_for(journal: str) -> None:
    records, expected = JOURNALS[journal]
    assert reason(records, {}, SPEC, Facts(NOW)).code == (expected or "queued")


@pytest.mark.parametrize("head", HEADS)
def test_the_head_tells_when_a_run_begins(head: str) -> None:
    fields, records, expected = HEADS[head]
    assert reason(records, fields, SPEC, Facts(NOW)).code == (expected or "queued")


def test_a_live_claim_runs_and_a_dead_one_is_taken_over() -> None:
    running = reason([CLAIM], {}, SPEC, Facts(NOW, alive=True))
    assert (running.code, running.details["by"]) == ("running", "worker/1")
    assert "worker/1" in reason([CLAIM], {}, SPEC, Facts(NOW)).sentence


def test_a_line_names_the_place_its_holders_and_how_many_stand_before() -> None:
    found = reason([], {}, SPEC, Facts(NOW, line=LINE))
    assert found.details == {"limit": 2, "key": "u1", "used": 2, "ahead": 3, "holders": ["r1", "r2"]}
    assert found.sentence == "The run waits for a place: 2 of 2 places are in use for 'u1', and 3 runs stand before it."


def test_a_pause_comes_before_a_line_and_names_who_paused() -> None:
    found = reason([], {}, SPEC, Facts(NOW, pause=PAUSE, line=LINE))
    assert (found.code, found.details["by"], found.details["name"]) == ("paused", "ann", "shop.pay")


def test_a_retry_names_its_attempt_its_error_and_its_time() -> None:
    found = reason(JOURNALS["step retries"][0], {}, SPEC, Facts(NOW))
    assert (found.details["attempt"], found.details["until"]) == (1, "1970-01-01T00:02:30.000Z")
    assert found.details["error"]["message"] == "boom"


def test_several_blocked_steps_are_all_named_and_a_wait_comes_first() -> None:
    steps = (Blocked("s", "sleep", 3, 150_000), Blocked("w", "wait", 3, None, "paid"))
    found = reason([CLAIM, Suspended(3, 150_000, steps)], {}, SPEC, Facts(NOW))
    assert found.code == "event"
    assert [each["code"] for each in found.details["waiting"]] == ["event", "sleep"]


def test_a_throttle_names_its_limit_and_the_key_of_the_run() -> None:
    fields, records, _ = HEADS["its turn"]
    found = reason(records, fields, SPEC, Facts(NOW))
    assert (found.details["limit"], found.details["period"], found.details["key"]) == (2, "1m", "u1")
