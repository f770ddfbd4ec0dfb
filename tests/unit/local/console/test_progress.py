"""What `tidemill dev` says of events and records."""

from __future__ import annotations

import io

import pytest

from tidemill.core.journal import AttemptFailed, Blocked, Ended, Record, Resolved, StepDone, StepTried, Suspended
from tidemill.model import Event, Failure, Head, Parent
from tidemill_local.console.lines import Console
from tidemill_local.console.progress import of_event, of_record

AT = 1_796_060_402_000  # 2026-11-30 17:40:02 UTC
HEAD = Head("01KAN5YJ4CPD9DQ571SZC8QH", "shop.checkout", "running", AT - 2_000, AT, started_at=AT - 2_000)
STACK = 'Traceback (most recent call last):\n  File "/me/app.py", line 12, in charge\n    pay()\nValueError: no card\n'
NO_CARD = Failure("ValueError", "no card", STACK, "charge")
ABOUT = "shop.checkout  71SZC8QH"


def said(record: Record, since: int = 0, head: Head = HEAD) -> list[str]:
    return [each.text for each in of_record(head, record, since)]


def test_a_failed_attempt_with_the_time_of_the_next_and_the_stack() -> None:
    assert said(StepTried("charge", "run", AT, AT, 2, NO_CARD, AT + 10_000)) == [
        f"17:40:02 ↻ {ABOUT}  charge  attempt 2  ValueError: no card  again at 17:40:12, in 10 s\n"
        '    File "/me/app.py", line 12, in charge\n'
        "      pay()"
    ]
    [code] = said(AttemptFailed(AT, 1, NO_CARD, AT + 500))
    assert code.startswith(f"17:40:02 ↻ {ABOUT}  attempt 1  ValueError: no card  again at 17:40:02, in 500 ms\n")


def test_the_last_failed_attempt_and_the_end_tell_the_stack_once() -> None:
    [step] = said(StepDone("charge", "run", AT, AT, 5, failure=NO_CARD))
    assert step.startswith(f"17:40:02 ✗ {ABOUT}  charge  failed after 5 attempts  ValueError: no card\n    File")
    assert said(Ended(AT, "failed", failure=NO_CARD)) == [f"17:40:02 ✗ {ABOUT}  2 s  ValueError: no card"]
    own = Failure("KeyError", "x", 'Traceback (most recent call last):\n  File "/me/app.py", line 7, in f\n    x()\n')
    assert said(Ended(AT, "failed", failure=own))[0].count("/me/app.py") == 1
    assert said(Ended(AT, "completed")) == [f"17:40:02 ✓ {ABOUT}  2 s"]
    assert said(StepDone("charge", "run", AT, AT, 1, b"")) == []


def test_each_sleep_and_wait_is_told_once() -> None:
    blocked = (
        Blocked("cool down", "sleep", AT, AT + 2_000),
        Blocked("approval", "wait", AT, AT + 3 * 86_400_000, "video/approved"),
        Blocked("mark", "signal", AT, None, "mark-1"),
        Blocked("child", "invoke", AT, None, "shop.ship"),
        Blocked("all", "map", AT, None, "8"),
        Blocked("charge", "run", AT, AT + 10_000),
        Blocked("earlier", "sleep", AT - 1, AT + 2_000),
    )
    assert said(Suspended(AT, None, blocked), since=AT) == [
        f"17:40:02 … {ABOUT}  cool down  sleeps until 17:40:04, in 2 s",
        f"17:40:02 … {ABOUT}  approval  waits for event video/approved until 2026-12-03 17:40:02, in 72 h",
        f"17:40:02 … {ABOUT}  mark  waits for signal mark-1",
        f"17:40:02 … {ABOUT}  child  waits for the end of shop.ship",
        f"17:40:02 … {ABOUT}  all  waits for the parts of a map",
    ]
    assert said(Resolved("mark", AT)) == []


def test_of_a_part_of_a_map_only_failures_are_told() -> None:
    part = Head("r1", "shop.checkout", "running", AT, AT, parent=Parent("r0", "shop.checkout", "all", 0, 8))
    assert said(Ended(AT, "completed"), head=part) == []
    assert said(Suspended(AT, None, (Blocked("x", "sleep", AT, AT),)), head=part) == []
    assert len(said(StepTried("0", "run", AT, AT, 1, NO_CARD, AT), head=part)) == 1


def test_events_of_users_are_told() -> None:
    event = of_event(Event("e1", "order/placed", {}, AT, AT))
    assert event is not None
    assert event.text == "17:40:02 → order/placed  e1"
    assert of_event(Event("e2", "tidemill/function.finished", {}, AT, AT)) is None


class Loop:
    def __init__(self) -> None:
        self.now = 0.0
        self.later: list[object] = []

    def time(self) -> float:
        return self.now

    def call_later(self, _: float, call: object) -> None:
        self.later.append(call)


@pytest.mark.parametrize("events", [True, False])
def test_what_comes_in_floods_is_counted_by_kind(events: bool) -> None:
    out, loop = io.StringIO(), Loop()
    console = Console(loop, out)  # type: ignore[arg-type] # as much of a loop as it needs
    console.events = events
    for number in range(25):
        console.event(Event(f"e{number}", "order/placed", {}, AT, AT))
    console.appended(HEAD, StepTried("charge", "run", AT, AT, 2, NO_CARD, AT), 0)
    assert out.getvalue().count("→") == (10 if events else 0)
    assert out.getvalue().count("↻") == 1  # the flood of one kind hides no other
    for call in loop.later:
        call()  # type: ignore[operator] # what was to be called later
    assert ("… and 15 events" in out.getvalue()) == events
