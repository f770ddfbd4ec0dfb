"""Runs, journals and steps as the API shows them."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import values
from tidemill.core.journal import (
    AttemptFailed,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    HandedOver,
    Record,
    Resolved,
    Skipped,
    Started,
    StepDone,
    StepTried,
    Suspended,
)
from tidemill.core.view.runs import event_view, journal_view, run_view, steps_view, whole_run_view
from tidemill.core.view.steps import step_name
from tidemill.model import SIGNAL, Event, Failure, Head, Parent

T = 1_790_000_000_000  # 2026-09-21T14:13:20.000Z
EVENT = Event("e1", "user/signed.up", {"user_id": "u1"}, T, T, {"id": "u1"})
BIRTH = Started(T, "shop.welcome", (EVENT,), "v1")
HEAD = Head("r1", "shop.welcome", "running", T, T + 1, version="v1", event_ids=("e1",), user="u1")
BOOM = Failure("ValueError", "boom", "Traceback …", "a")
BOOM_VIEW = {"type": "ValueError", "message": "boom", "stack": "Traceback …", "step_id": "a"}


def claim(at: int = T) -> Claimed:
    return Claimed(at, "worker/0", 2**53, "v1")


def done(key: str, value: object = None, **more: Any) -> StepDone:
    return StepDone(key, "run", T, T + 5, value=values.encode(value, "result"), **more)


def steps(*records: Record) -> list[dict[str, Any]]:
    return steps_view((BIRTH, claim(), *records), HEAD)


def statuses(*records: Record) -> dict[str, str]:
    return {step["id"]: step["status"] for step in steps(*records)}


# --- runs ----------------------------------------------------------------------------------------------


def test_a_run_has_exactly_the_fields_of_the_contract() -> None:
    assert run_view(HEAD, (BIRTH,)) == {
        "run_id": "r1",
        "function_id": "shop.welcome",
        "version": "v1",
        "status": "running",
        "reason": None,
        "event_ids": ["e1"],
        "user": "u1",
        "attempt": 1,
        "parent_run_id": None,
        "rerun_of": None,
        "created_at": "2026-09-21T14:13:20.000Z",
        "started_at": None,
        "ended_at": None,
        "output": None,
        "error": None,
    }


def test_a_completed_run_shows_its_output() -> None:
    view = run_view(HEAD, (BIRTH, claim(), Ended(T + 9, "completed", values.encode({"n": 1}, "output"))))
    assert (view["status"], view["output"], view["error"]) == ("completed", {"n": 1}, None)
    assert view["started_at"] == "2026-09-21T14:13:20.000Z"
    assert view["ended_at"] == "2026-09-21T14:13:20.009Z"


def test_a_failed_run_shows_its_error() -> None:
    view = run_view(HEAD, (BIRTH, claim(), Ended(T, "failed", failure=BOOM)))
    assert (view["status"], view["output"], view["error"]) == ("failed", None, BOOM_VIEW)


@pytest.mark.parametrize(("end", "status"), [(Cancelled(T, "why"), "cancelled"), (Skipped(T, "why"), "skipped")])
def test_the_record_of_an_end_decides_before_the_head_has_followed(end: Record, status: str) -> None:
    view = run_view(HEAD, (BIRTH, end))
    assert (view["status"], view["reason"], view["ended_at"]) == (status, "why", "2026-09-21T14:13:20.000Z")


def test_a_list_gives_only_the_terminal_record() -> None:
    head = Head("r1", "f", "completed", T, None, ended_at=T, end=7)
    view = run_view(head, (Ended(T, "completed", b'"' + b"x" * 70_000 + b'"'),), "http://host")
    assert view["output"] == {"$large": "http://host/v1/runs/r1/values/7", "bytes": 70_002}


def test_a_held_run_says_why_and_a_child_names_its_parent() -> None:
    head = Head("r1", "f", "scheduled", T, T, reason="not declared at present", parent=Parent("r0", "g", "call"))
    view = run_view(head)
    assert (view["reason"], view["parent_run_id"]) == ("not declared at present", "r0")


def test_an_event_keeps_its_ts_and_shows_its_receipt() -> None:
    assert event_view(EVENT) == {
        "id": "e1",
        "name": "user/signed.up",
        "data": {"user_id": "u1"},
        "user": {"id": "u1"},
        "ts": T,
        "v": None,
        "received_at": "2026-09-21T14:13:20.000Z",
        "data_context": None,
        "rejected": None,
    }


# --- steps ---------------------------------------------------------------------------------------------


def test_a_step_has_exactly_the_fields_of_the_contract() -> None:
    assert steps(done("a", [1])) == [
        {
            "id": "a",
            "name": "a",
            "kind": "run",
            "status": "completed",
            "attempts": 1,
            "started_at": "2026-09-21T14:13:20.000Z",
            "ended_at": "2026-09-21T14:13:20.005Z",
            "output": [1],
            "error": None,
        }
    ]


def test_a_retried_step_counts_its_attempts_from_its_first_start() -> None:
    tried = StepTried("a", "run", T - 50, T - 40, 1, BOOM, T + 1_000)
    (step,) = steps(tried)
    assert (step["status"], step["attempts"], step["error"], step["ended_at"]) == ("retrying", 1, BOOM_VIEW, None)
    (step,) = steps(tried, done("a", 1, attempts=2))
    assert (step["status"], step["attempts"], step["error"]) == ("completed", 2, None)
    assert step["started_at"] == "2026-09-21T14:13:19.950Z"


def test_a_step_that_failed_for_good() -> None:
    (step,) = steps(StepDone("a", "run", T, T, 5, failure=BOOM))
    assert (step["status"], step["attempts"], step["output"], step["error"]) == ("failed", 5, None, BOOM_VIEW)


def test_steps_stand_in_the_order_in_which_they_first_appeared() -> None:
    tried = StepTried("late", "run", T, T, 1, BOOM, T)
    assert list(statuses(tried, done("b"), done("late"))) == ["late", "b"]


def test_what_blocked_steps_do() -> None:
    blocked = Suspended(
        T,
        T + 10,
        (
            Blocked("nap", "sleep", T, T + 10),
            Blocked("ok", "wait", T, None, "x/y"),
            Blocked("human", "signal", T, None, "s"),
            Blocked("call", "invoke", T, None, "shop.f"),
            Blocked("each", "map", T, None, "4"),
        ),
    )
    found = {"nap": "sleeping", "ok": "waiting", "human": "waiting", "call": "waiting", "each": "waiting"}
    assert statuses(blocked) == found
    assert statuses(HandedOver(T, blocked.blocked)) == found


def test_a_sleep_is_over_when_code_runs_again_after_its_end() -> None:
    suspended = Suspended(T, T + 10, (Blocked("nap", "sleep", T, T + 10),))
    assert statuses(suspended, claim(T + 9)) == {"nap": "sleeping"}
    (step,) = steps(suspended, claim(T + 11), StepDone("nap", "sleep", T, T + 12))
    assert (step["status"], step["ended_at"]) == ("completed", "2026-09-21T14:13:20.010Z")


def test_a_step_between_two_attempts_stays_retrying_while_the_run_is_suspended() -> None:
    tried = StepTried("a", "run", T, T, 1, BOOM, T + 1_000)
    assert statuses(tried, Suspended(T, T + 1_000, (Blocked("a", "run", T, T + 1_000),))) == {"a": "retrying"}


def wait(name: str = "x/y") -> Suspended:
    return Suspended(T, None, (Blocked("w", "wait", T, None, name),))


def test_a_wait_gives_its_event() -> None:
    came = Event("e2", "x/y", {"n": 1}, T, T)
    fields = {"id": "e2", "name": "x/y", "data": {"n": 1}, "user": None, "ts": T, "v": None}
    (step,) = steps(wait(), Resolved("w", T + 7, event=came))
    assert (step["kind"], step["status"], step["output"]) == ("wait", "completed", fields)
    assert (step["started_at"], step["ended_at"]) == ("2026-09-21T14:13:20.000Z", "2026-09-21T14:13:20.007Z")
    (step,) = steps(wait(), Resolved("w", T, event=came, label="yes"))
    assert step["output"] == ["yes", fields]


def test_a_wait_whose_time_ran_out_completed_with_nothing() -> None:
    (step,) = steps(wait(), Resolved("w", T))
    assert (step["status"], step["output"]) == ("completed", None)


def test_a_signal_gives_its_data_even_if_it_was_there_before_the_wait() -> None:
    (step,) = steps(Resolved("w", T, event=Event("e2", SIGNAL, {"signal": "s", "data": {"ok": True}}, T, T)))
    assert (step["kind"], step["output"]) == ("signal", {"ok": True})


def test_what_an_event_holds_is_never_taken_for_a_tagged_value() -> None:
    came = Event("e2", "x/y", {"$": ["decimal", "1.5"]}, T, T)
    (step,) = steps(wait(), Resolved("w", T, event=came))
    assert step["output"]["data"] == {"$": ["decimal", "1.5"]}


def test_an_invoked_run_gives_its_output_or_its_error() -> None:
    suspended = Suspended(T, None, (Blocked("call", "invoke", T, None, "shop.f"),))
    (step,) = steps(suspended, Resolved("call", T, value=b"7"))
    assert (step["kind"], step["status"], step["output"]) == ("invoke", "completed", 7)
    (step,) = steps(suspended, Resolved("call", T, failure=BOOM))
    assert (step["status"], step["error"]) == ("failed", BOOM_VIEW)


def test_a_map_whose_parts_are_done_waits_until_they_are_gathered() -> None:
    suspended = Suspended(T, None, (Blocked("each", "map", T, None, "2"),))
    assert statuses(suspended, Resolved("each", T)) == {"each": "waiting"}
    (step,) = steps(suspended, Resolved("each", T), StepDone("each", "map", T, T + 3, value=b"[1,2]"))
    assert (step["status"], step["output"], step["ended_at"]) == ("completed", [1, 2], "2026-09-21T14:13:20.003Z")


@pytest.mark.parametrize("end", [Cancelled(T + 20, "why"), Ended(T + 20, "failed", failure=BOOM)])
def test_a_run_that_ended_leaves_no_step_unfinished(end: Record) -> None:
    tried = StepTried("a", "run", T, T, 1, BOOM, T + 1_000)
    found = steps(done("b"), tried, wait(), end, done("too late"))
    assert [(step["id"], step["status"]) for step in found] == [
        ("b", "completed"),
        ("a", "cancelled"),
        ("w", "cancelled"),
    ]
    assert found[1]["ended_at"] == "2026-09-21T14:13:20.020Z"


def test_values_are_plain_and_large_ones_elsewhere() -> None:
    plain, large = steps(done("plain", b"\x00\x01"), done("large", "x" * 65_536))
    assert plain["output"] == "AAE="
    assert large["output"] == {"$large": "/v1/runs/r1/values/3", "bytes": 65_538}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a", "a"),
        ("a:1", "a"),
        ("p0/2/a", "a"),
        ("p0/2/p1/0/a:3", "a"),
        ("x/y", "x/y"),
        ("at 9:30", "at 9:30"),
        ("p0/2/at 9:30", "at 9:30"),
    ],
)
def test_the_name_of_a_step_is_the_id_in_the_code(key: str, name: str) -> None:
    assert step_name(key, {"a", "p0/2/a", "p0/2/p1/0/a", key}) == name


# --- journals ------------------------------------------------------------------------------------------


def test_a_journal_reads_like_a_story() -> None:
    tried = StepTried("a", "run", T, T, 1, BOOM, T + 1_000)
    records = (
        BIRTH,
        claim(),
        tried,
        AttemptFailed(T, 1, BOOM, T + 1_000),
        wait(),
        Resolved("w", T, event=Event("e2", "x/y", {}, T, T)),
        HandedOver(T),
        done("a", attempts=2),
        Ended(T + 1, "completed", b"null"),
    )
    view = journal_view(records)
    assert [record["seq"] for record in view] == list(range(9))
    assert [record["type"] for record in view] == [
        "started", "claimed", "step_tried", "attempt_failed", "suspended", "resolved", "handed_over", "step_done",
        "ended",
    ]  # fmt: skip
    assert view[0] == {
        "seq": 0,
        "type": "started",
        "at": "2026-09-21T14:13:20.000Z",
        "event_ids": ["e1"],
        "version": "v1",
        "parent_run_id": None,
        "notes": [],
    }
    assert view[1]["until"] is None  # a claim that lives as long as its executor
    assert (view[2]["step"], view[2]["error"], view[2]["retry_at"]) == ("a", BOOM_VIEW, "2026-09-21T14:13:21.000Z")
    assert view[4]["blocked"][0]["name"] == "x/y"
    assert (view[5]["step"], view[5]["event_id"]) == ("w", "e2")
    assert view[8]["at"] == "2026-09-21T14:13:20.001Z"


def test_one_run_carries_its_journal_and_its_steps() -> None:
    view = whole_run_view(HEAD, (BIRTH, claim(), done("a"), Cancelled(T, "enough")))
    assert [record["type"] for record in view["journal"]] == ["started", "claimed", "step_done", "cancelled"]
    assert view["journal"][3]["reason"] == "enough"
    assert [step["id"] for step in view["steps"]] == ["a"]
