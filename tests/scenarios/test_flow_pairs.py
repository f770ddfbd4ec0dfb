"""What combines with what: every pair of flow control's features, declared and run, or refused with the reason.

A story sends events `work` (and `stop`, which cancels) at seconds, and says of each run, in the order of their births,
what became of it: "2+3@10 cancelled by timeout" is a run of events 2 and 3 that began at second 10. Work lasts 10 s
unless the event says how long it `lasts`. The table in docs/guides/flow-decisions.md says the same, and is read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tidemill import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Debounce,
    DeclarationError,
    Event,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from tidemill.testing import Mill
from tidemill_local.testing.run import Run

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "flow-decisions.md"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Concurrency(1, counts="runs")

# One of each, as the table means them.
FEATURES: dict[str, Any] = {
    "concurrency": ONE,
    "throttle": Throttle(1, "4s"),
    "rate_limit": RateLimit(2, "1m"),
    "debounce": Debounce("2s"),
    "batch": Batch(2, "5s"),
    "priority": "event.data.p",
    "singleton": Singleton("skip"),
    "idempotency": "event.data.k",
    "cancel_on": CancelOn("stop", match="data.k"),
    "timeouts": Timeouts(start="5s"),
}


@dataclass(frozen=True)
class Sent:
    at: int
    n: int
    data: dict[str, Any]


@dataclass(frozen=True)
class Story:
    """`options`: those that are not as in FEATURES, and a third feature where the two need one."""

    sent: list[Sent]
    runs: list[str]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    why: str


def e(at: int, n: int, k: str = "a", **data: Any) -> Sent:
    """Event number n; number 0 is the one that stops."""
    return Sent(at, n, {"n": n, "k": k, "p": 0, **data})


def stop(at: int, k: str = "a") -> Sent:
    return e(at, 0, k)


EVERY_EVENT_ITS_OWN = "it decides by one event, and a batch has many"
ALL_AT_ONCE = "it would drop all events of a batch at once"

PAIRS: dict[tuple[str, str], Story | Refused] = {
    ("concurrency", "throttle"): Story([e(0, 1, lasts=1), e(0, 2), e(0, 3)], ["1@0", "2@4", "3@14"]),
    ("concurrency", "rate_limit"): Story([e(0, 1), e(0, 2), e(0, 3)], ["1@0", "2@10", "3 skipped by rate limit"]),
    ("concurrency", "debounce"): Story([e(0, 1), e(1, 2), e(4, 3)], ["2@3", "3@13"]),
    ("concurrency", "batch"): Story([e(0, 1), e(0, 2), e(0, 3), e(0, 4)], ["1+2@0", "3+4@10"]),
    ("concurrency", "priority"): Story([e(0, 1), e(0, 2), e(0, 3, p=5)], ["1@0", "2@20", "3@10"]),
    ("concurrency", "singleton"): Story(
        [e(0, 1), e(0, 2), e(0, 3, "b")],
        ["1@0", "2 skipped by singleton", "3@10"],
        {"singleton": Singleton("skip", key="event.data.k")},
    ),
    ("concurrency", "idempotency"): Story(
        [e(0, 1), e(0, 2), e(0, 3, "b")], ["1@0", "2 skipped by idempotency", "3@10"]
    ),
    ("concurrency", "cancel_on"): Story(
        [e(0, 1), e(0, 2, "b"), e(0, 3, "c"), stop(2, "c"), stop(3)],
        ["1@0 cancelled by stop", "2@3", "3 cancelled by stop"],
    ),
    ("concurrency", "timeouts"): Story([e(0, 1), e(0, 2)], ["1@0", "2 cancelled by timeout"]),
    ("throttle", "rate_limit"): Story([e(0, 1), e(0, 2), e(0, 3)], ["1@0", "2@4", "3 skipped by rate limit"]),
    ("throttle", "debounce"): Story([e(0, 1), e(3, 2), e(4, 3)], ["1@2", "3@22"], {"throttle": Throttle(1, "20s")}),
    ("throttle", "batch"): Story(
        [e(0, 1), e(0, 2), e(0, 3), e(0, 4)], ["1+2@0", "3+4@20"], {"throttle": Throttle(1, "20s")}
    ),
    ("throttle", "priority"): Story(
        [e(0, 1), e(0, 2), e(0, 3, p=5)],
        ["1@0", "2@20", "3@10"],
        {"throttle": Throttle(1, "2s"), "concurrency": ONE},
    ),
    ("throttle", "singleton"): Story(
        [e(0, 1), e(0, 2), e(0, 3, "b")],
        ["1@0", "2 skipped by singleton", "3@4"],
        {"singleton": Singleton("skip", key="event.data.k")},
    ),
    ("throttle", "idempotency"): Story([e(0, 1), e(0, 2), e(0, 3, "b")], ["1@0", "2 skipped by idempotency", "3@4"]),
    ("throttle", "cancel_on"): Story(
        [e(0, 1, "b"), e(0, 2), e(0, 3, "c"), stop(2)], ["1@0", "2 cancelled by stop", "3@8"]
    ),
    ("throttle", "timeouts"): Story([e(0, 1), e(0, 2), e(0, 3)], ["1@0", "2@4", "3 cancelled by timeout"]),
    ("rate_limit", "debounce"): Story(
        [e(0, 1), e(1, 2), e(5, 3)], ["2@3", "3 skipped by rate limit"], {"rate_limit": RateLimit(1, "1m")}
    ),
    ("rate_limit", "batch"): Refused(ALL_AT_ONCE),
    ("rate_limit", "priority"): Story(
        [e(0, 1), e(0, 2), e(0, 3, p=5), e(0, 4, p=600)],
        ["1@0", "2@20", "3@10", "4 skipped by rate limit"],
        {"rate_limit": RateLimit(3, "1m"), "concurrency": ONE},
    ),
    ("rate_limit", "singleton"): Story(
        [e(0, 1), e(1, 2), e(12, 3), e(30, 4)],
        ["1@0", "2 skipped by singleton", "3@12", "4 skipped by rate limit"],
    ),
    ("rate_limit", "idempotency"): Story(
        [e(0, 1), e(1, 2, "b"), e(25, 3, "b"), e(26, 4)],
        ["1@0", "2 skipped by rate limit", "3@25", "4 skipped by idempotency"],
        {"rate_limit": RateLimit(1, "20s")},
    ),
    ("rate_limit", "cancel_on"): Story(
        [e(0, 1), stop(3), e(5, 2)],
        ["1@0 cancelled by stop", "2 skipped by rate limit"],
        {"rate_limit": RateLimit(1, "1m")},
    ),
    ("rate_limit", "timeouts"): Story(
        [e(0, 1), e(6, 2)],
        ["1@0 cancelled by timeout", "2 skipped by rate limit"],
        {"rate_limit": RateLimit(1, "1m"), "timeouts": Timeouts(finish="5s")},
    ),
    ("debounce", "batch"): Refused("one keeps every event, the other only the last"),
    ("debounce", "priority"): Story(
        [e(0, 1, lasts=20), e(3, 2, "b"), e(4, 3, "c", p=5)],
        ["1@2", "2@32", "3@22"],
        {"debounce": Debounce("2s", key="event.data.k"), "concurrency": ONE},
    ),
    ("debounce", "singleton"): Story([e(0, 1), e(5, 2), e(20, 3)], ["1@2", "2 skipped by singleton", "3@22"]),
    ("debounce", "idempotency"): Story(
        [e(0, 1), e(1, 2, "b"), e(10, 3, "b"), e(20, 4)], ["2@3", "3 skipped by idempotency", "4@22"]
    ),
    ("debounce", "cancel_on"): Story([e(0, 1), stop(1), e(3, 2)], ["1 cancelled by stop", "2@5"]),
    ("debounce", "timeouts"): Story(
        [e(0, 1)],
        ["1@8 cancelled by timeout"],
        {"debounce": Debounce("8s"), "timeouts": Timeouts(start="5s", finish="6s")},
    ),
    ("batch", "priority"): Refused(EVERY_EVENT_ITS_OWN),
    ("batch", "singleton"): Refused(ALL_AT_ONCE),
    ("batch", "idempotency"): Refused(EVERY_EVENT_ITS_OWN),
    ("batch", "cancel_on"): Refused(EVERY_EVENT_ITS_OWN),
    ("batch", "timeouts"): Story(
        [e(0, 1)],
        ["1@8 cancelled by timeout"],
        {"batch": Batch(2, "8s"), "timeouts": Timeouts(start="5s", finish="6s")},
    ),
    ("priority", "singleton"): Story(
        [e(0, 1), e(0, 2, "b"), e(0, 3, "c", p=5), e(0, 4, "c", p=600)],
        ["1@0", "2@20", "3@10", "4 skipped by singleton"],
        {"singleton": Singleton("skip", key="event.data.k"), "concurrency": ONE},
    ),
    ("priority", "idempotency"): Story(
        [e(0, 1), e(0, 2, "b"), e(0, 3, "c", p=5), e(0, 4, "c", p=600)],
        ["1@0", "2@20", "3@10", "4 skipped by idempotency"],
        {"concurrency": ONE},
    ),
    ("priority", "cancel_on"): Story(
        [e(0, 1), e(0, 2, "b"), e(0, 3, "c", p=5), e(0, 4, "d", p=9), stop(2, "d")],
        ["1@0", "2@20", "3@10", "4 cancelled by stop"],
        {"concurrency": ONE},
    ),
    ("priority", "timeouts"): Story(
        [e(0, 1), e(0, 2), e(0, 3, p=5)],
        ["1@0", "2 cancelled by timeout", "3@10"],
        {"timeouts": Timeouts(start="15s"), "concurrency": ONE},
    ),
    ("singleton", "idempotency"): Story(
        [e(0, 1), e(2, 2, "b"), e(4, 3, "b")],
        ["1@0 cancelled by singleton", "2@2", "3 skipped by idempotency"],
        {"singleton": Singleton("cancel")},
    ),
    ("singleton", "cancel_on"): Story(
        [e(0, 1), e(2, 2, "b"), stop(3), e(4, 3, "c")], ["1@0 cancelled by stop", "2 skipped by singleton", "3@4"]
    ),
    ("singleton", "timeouts"): Story(
        [e(0, 1), e(3, 2), e(6, 3, lasts=1)],
        ["1@0 cancelled by timeout", "2 skipped by singleton", "3@6"],
        {"timeouts": Timeouts(finish="5s")},
    ),
    ("idempotency", "cancel_on"): Story(
        [e(0, 1), stop(3), e(5, 2)], ["1@0 cancelled by stop", "2 skipped by idempotency"]
    ),
    ("idempotency", "timeouts"): Story(
        [e(0, 1), e(6, 2)],
        ["1@0 cancelled by timeout", "2 skipped by idempotency"],
        {"timeouts": Timeouts(finish="5s")},
    ),
    ("cancel_on", "timeouts"): Story(
        [e(0, 1), e(0, 2, "b"), stop(3)],
        ["1@0 cancelled by stop", "2@0 cancelled by timeout"],
        {"timeouts": Timeouts(finish="5s")},
    ),
}
STORIES = [pytest.param(pair, id="-".join(pair)) for pair, found in PAIRS.items() if isinstance(found, Story)]
REFUSALS = [pytest.param(pair, id="-".join(pair)) for pair, found in PAIRS.items() if isinstance(found, Refused)]


def declare(**options: Any) -> App:
    app = App("a")

    @app.function(on="work", retries=0, **options)
    def work(ctx: Context) -> None:
        ctx.step.sleep("at work", ctx.event.data.get("lasts", 10))

    return app


def numbers(mill: Mill, run: Run) -> str:
    """The events that the code of this run is given."""
    given = [mill.event(event_id) for event_id in run.event_ids]
    return "+".join(str(event.data["n"]) for event in given if event is not None)


def told(mill: Mill, run: Run, last: bool) -> str:
    which = numbers(mill, run).split("+")[-1] if last else numbers(mill, run)
    began = f"@{int((run.started_at - BEGIN).total_seconds())}" if run.started_at is not None else ""
    return which + began + ("" if run.status == "completed" else f" {run.status} by {cause(run.reason or '')}")


def cause(reason: str) -> str:
    known = ("rate limit", "singleton", "idempotency", "stop", "timeout")
    return next((word for word in known if word in reason), reason)


def tell(mill: Mill, sent: list[Sent]) -> None:
    for each in sent:
        at = BEGIN + timedelta(seconds=each.at)
        if at > mill.now:
            mill.set_time(at)
        mill.send("work" if each.n else "stop", each.data)
    mill.advance("2m")


@pytest.mark.parametrize("pair", STORIES)
def test_both_are_in_force(pair: tuple[str, str], serve: Callable[..., Mill]) -> None:
    story = PAIRS[pair]
    assert isinstance(story, Story)
    options = {feature: FEATURES[feature] for feature in pair} | story.options
    with serve(declare(**options)) as mill:
        tell(mill, story.sent)
        assert [told(mill, run, "debounce" in pair) for run in mill.runs()] == story.runs


@pytest.mark.parametrize("pair", REFUSALS)
def test_what_makes_no_sense_is_refused_with_the_reason(pair: tuple[str, str]) -> None:
    refused = PAIRS[pair]
    assert isinstance(refused, Refused)
    with pytest.raises(DeclarationError) as raised:
        declare(**{feature: FEATURES[feature] for feature in pair})
    [problem] = raised.value.problems
    (other,) = {*pair} - {"batch"}
    assert problem == f"batch: cannot be combined with {other}: {refused.why}"


def test_every_pair_is_told() -> None:
    assert {*PAIRS} == {*combinations(FEATURES, 2)}


def test_the_table_of_the_page_says_the_same() -> None:
    """A cell is `yes`, `no`, or a third feature that the two need."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| *`\w+` *\|( *(yes|no|·|`\w+`)? *\|)+$", line)
    ]
    names = [row[0] for row in rows]
    assert names == list(FEATURES)
    said = {
        (other, name): row[column + 1]
        for name, row in zip(names, rows, strict=True)
        for column, other in enumerate(names[: names.index(name)])
    }
    assert said == {pair: _cell(pair) for pair in PAIRS}


def _cell(pair: tuple[str, str]) -> str:
    """What the code says of this pair: it is declared, it is refused, or refused for want of a third."""
    options = {feature: FEATURES[feature] for feature in pair}
    try:
        declare(**options)
    except DeclarationError as error:
        story = PAIRS[pair]
        if isinstance(story, Refused):
            return "no"
        [problem] = error.problems
        (third,) = {*story.options} - {*pair}
        assert third in problem
        return third
    return "yes"


@pytest.mark.parametrize("feature", [f for f in FEATURES if f not in ("cancel_on", "timeouts", "batch")])
def test_every_problem_is_named_in_one_error(feature: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        declare(batch=Batch(0, "5s"), **{feature: FEATURES[feature]}, timeouts=Timeouts(start=0))
    found = "\n".join(raised.value.problems)
    assert "batch.max_size: must be a whole number from 1 to 100, not 0" in found
    assert "timeouts.start: must be longer than 0, not 0" in found
    assert feature in ("concurrency", "throttle") or f"batch: cannot be combined with {feature}" in found


def test_a_key_that_differs_within_a_batch_is_refused() -> None:
    """Its events would count under the key of one of them."""
    by_k, by_n = Concurrency(1, key="event.data.k"), Throttle(1, "4s", key="event.data.n")
    with pytest.raises(DeclarationError) as raised:
        declare(batch=Batch(2, "5s", key="event.data.k"), concurrency=by_k, throttle=by_n)
    [problem] = raised.value.problems
    assert problem.startswith("batch: its events may differ in throttle.key, 'event.data.n'; ")
    declare(batch=Batch(2, "5s", key="event.data.k"), concurrency=[by_k, Concurrency(9, key="'api'", scope="account")])


def test_a_priority_without_a_line_is_refused_where_a_throttle_might_seem_to_be_one() -> None:
    with pytest.raises(DeclarationError, match="a throttle keeps the order of arrival"):
        declare(throttle=Throttle(1, "4s"), priority="event.data.p")


def test_all_that_combine_do_so_at_once(serve: Callable[..., Mill]) -> None:
    together = {feature: declared for feature, declared in FEATURES.items() if feature != "batch"}
    together |= {"singleton": Singleton("skip", key="event.data.k"), "timeouts": Timeouts(start="20s")}
    together |= {"debounce": Debounce("2s", key="event.data.k"), "rate_limit": RateLimit(3, "1m")}
    sent = [e(0, 1), e(1, 2), e(2, 3, "b"), e(3, 4, "c", p=5), e(4, 5, "d"), e(14, 6), stop(5, "b")]
    with serve(declare(**together)) as mill:
        tell(mill, sent)
        # 2 begins when a is silent; b is in line when it is stopped; c comes before it; d is over the rate;
        # a once more is over its key.
        assert [told(mill, run, True) for run in mill.runs()] == [
            "2@3",
            "3 cancelled by stop",
            "4@13",
            "5 skipped by rate limit",
            "6 skipped by idempotency",
        ]


def test_one_trigger_is_enough_for_a_debounce_to_gather(serve: Callable[..., Mill]) -> None:
    app = App("a")

    @app.function(on=[Event("work"), Event("play")], debounce=Debounce("2s"))
    def both(ctx: Context) -> str:
        return ctx.event.name

    with serve(app) as mill:
        mill.send("work", {"n": 1})
        mill.send("play", {"n": 2})
        mill.advance("3s")
        assert mill.run().output == "play"
