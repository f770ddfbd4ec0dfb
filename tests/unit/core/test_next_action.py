"""The one decision behind every message, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill.core.journal import (
    AttemptFailed,
    Blocked,
    Cancelled,
    Claimed,
    Ended,
    HandedOver,
    Resolved,
    Started,
    StepTried,
    Suspended,
)
from tidemill.core.next_action import bounded, next_action
from tidemill.core.state import fold
from tidemill.model import Event, Failure, FunctionSpec, Head

NOW = 100_000
BIRTH = Started(1_000, "shop.work", (Event("e1", "go", {}, 1_000, 1_000),))
CLAIM = Claimed(50_000, "x", 140_000)
FAILURE = Failure("ValueError", "no")
ASLEEP = (Blocked("nap", "sleep", 1, NOW + 1),)


def head(**fields: Any) -> Head:
    return Head("r1", "shop.work", "running", 1_000, 2_000, **fields)


def spec(retries: int = 4) -> FunctionSpec:
    return FunctionSpec("shop.work", "shop", "work", retries=retries)


@pytest.mark.parametrize(
    ("records", "alive", "do", "at"),
    [
        # A new run, and one whose executor left it in order.
        ([], False, "claim", 0),
        ([CLAIM, HandedOver(60_000)], False, "claim", 0),
        ([CLAIM, HandedOver(60_000, ASLEEP)], False, "claim", 0),
        # A claim, alive and dead.
        ([CLAIM], True, "later", 140_000),
        ([CLAIM], False, "claim", 0),
        ([CLAIM, Resolved("w", 1)], True, "later", 140_000),
        ([CLAIM, StepTried("a", "run", 1, 2, 1, FAILURE, NOW + 5)], False, "claim", 0),
        # Suspended: not before its time, unless something has come.
        ([CLAIM, Suspended(60_000, NOW, ())], False, "claim", 0),
        ([CLAIM, Suspended(60_000, NOW + 1, ASLEEP)], False, "later", NOW + 1),
        ([CLAIM, Suspended(60_000, None, ())], False, "later", 0),
        ([CLAIM, Suspended(60_000, None, ()), Resolved("w", 1)], False, "claim", 0),
        ([CLAIM, Suspended(60_000, NOW + 1, ASLEEP), Resolved("w", 1)], False, "claim", 0),
        ([CLAIM, Resolved("w", 1), Suspended(60_000, NOW + 1, ASLEEP)], False, "later", NOW + 1),
        # Between two attempts of the function.
        ([CLAIM, AttemptFailed(60_000, 1, FAILURE, NOW + 1)], False, "later", NOW + 1),
        ([CLAIM, AttemptFailed(60_000, 1, FAILURE, NOW + 1), Resolved("w", 1)], False, "later", NOW + 1),
        ([CLAIM, AttemptFailed(60_000, 1, FAILURE, NOW)], False, "claim", 0),
        ([CLAIM, AttemptFailed(60_000, 1, FAILURE, NOW + 1), CLAIM], False, "claim", 0),
        # Ended: whatever else there is.
        ([CLAIM, Ended(60_000, "completed")], False, "finish", 0),
        ([CLAIM, Cancelled(60_000, "why")], True, "finish", 0),
    ],
)
def test_what_a_run_needs(records, alive, do, at):
    found = next_action(fold([BIRTH, *records]), head(started_at=50_000), spec(), alive, NOW)
    assert (found.do, found.at) == (do, at)


@pytest.mark.parametrize(("retries", "claims", "do"), [
    (0, 1, "claim"), (0, 2, "fail"), (1, 1, "claim"), (1, 2, "fail"), (4, 4, "claim"), (4, 5, "fail"),
])  # fmt: skip
def test_a_process_that_dies_between_steps_again_and_again(retries, claims, do):
    found = next_action(fold([BIRTH, *[CLAIM] * claims]), head(started_at=50_000), spec(retries), False, NOW)
    assert found.do == do
    if do == "fail":
        assert f"died {claims} times" in found.reason


@pytest.mark.parametrize(
    ("fields", "do"),
    [
        ({"finish_by": NOW}, "cancel"),
        ({"finish_by": NOW + 1}, "claim"),
        ({"finish_by": NOW, "started_at": 1}, "cancel"),
        ({"start_by": NOW}, "cancel"),
        ({"start_by": NOW + 1}, "claim"),
        ({"start_by": NOW, "started_at": 1}, "claim"),
        ({"not_before": NOW}, "claim"),
        ({"not_before": NOW + 1}, "later"),
        ({"not_before": NOW + 1, "finish_by": NOW}, "cancel"),
    ],
)
def test_times_of_the_run_itself(fields, do):
    assert next_action(fold([BIRTH]), head(**fields), spec(), False, NOW).do == do


def test_a_finish_timeout_ends_a_run_whose_code_is_at_work():
    assert next_action(fold([BIRTH, CLAIM]), head(started_at=1, finish_by=NOW), spec(), True, NOW).do == "cancel"


@pytest.mark.parametrize(("alive", "do"), [(False, "hold"), (True, "later")])
def test_a_run_whose_function_has_gone_is_held_once_nobody_is_at_work_on_it(alive, do):
    found = next_action(fold([BIRTH, CLAIM]), head(started_at=1), None, alive, NOW)
    assert found.do == do


def test_an_end_and_a_timeout_need_no_function():
    assert next_action(fold([BIRTH, Ended(1, "completed")]), head(), None, False, NOW).do == "finish"
    assert next_action(fold([BIRTH]), head(finish_by=NOW), None, False, NOW).do == "cancel"


@pytest.mark.parametrize(
    ("fields", "at", "due"),
    [
        ({}, 500, 500),
        ({"finish_by": 400}, 500, 400),
        ({"finish_by": 600}, 500, 500),
        ({"start_by": 400}, 500, 400),
        ({"start_by": 400, "started_at": 1}, 500, 500),
        ({"start_by": 400, "finish_by": 300}, 500, 300),
    ],
)
def test_no_due_time_lies_behind_a_timeout(fields, at, due):
    assert bounded(head(**fields), at) == due
