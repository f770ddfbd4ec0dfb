"""Features that decide by other runs, against models of themselves: the runs of a Mill, started at random times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill import App, Concurrency, Context, Singleton
from tidemill.testing import Mill
from tidemill_local.testing.run import Run

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400

# Seconds until the next event, its key, how long its run lasts. No run ends at the very moment at which another comes.
comings = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: 2 * n), st.sampled_from("ab"), st.sampled_from([1, 7, 31])), max_size=14
)


def runs(gaps: list[tuple[int, str, int]], *, after: int = 100, **options: Any) -> list[Run]:
    """The runs of events that come so, as they are in the end."""
    app = App("a")

    @app.function(on="work", **options)
    def work(ctx: Context) -> None:
        ctx.step.sleep("work", ctx.event.data["lasts"])

    with Mill(app) as mill:
        found = []
        for gap, key, lasts in gaps:
            mill.advance(gap)
            found.append(mill.send("work", {"k": key, "lasts": lasts, "n": len(found)}).run())
        mill.advance(after)
    return found


def began(run: Run) -> int:
    assert run.started_at is not None
    return (run.started_at - BEGIN) // timedelta(milliseconds=1)


@settings(max_examples=60)
@given(comings)
def test_a_singleton_skips_whoever_comes_while_another_is_under_way(gaps: list[tuple[int, str, int]]) -> None:
    free_at: dict[str, int] = {}
    expected, now = [], 0
    for gap, key, lasts in gaps:
        now += gap
        busy = free_at.get(key, 0) > now
        expected.append("skipped" if busy else "completed")
        free_at[key] = free_at.get(key, 0) if busy else now + lasts
    found = runs(gaps, singleton=Singleton("skip", key="event.data.k"))
    assert [run.status for run in found] == expected


@settings(max_examples=60)
@given(comings)
def test_a_singleton_cancels_the_one_before(gaps: list[tuple[int, str, int]]) -> None:
    times = [sum(gap for gap, _, _ in gaps[: n + 1]) for n in range(len(gaps))]
    expected = []
    for n, (_, key, lasts) in enumerate(gaps):
        after = [times[m] for m in range(n + 1, len(gaps)) if gaps[m][1] == key]
        expected.append("cancelled" if after and after[0] < times[n] + lasts else "completed")
    found = runs(gaps, singleton=Singleton("cancel", key="event.data.k"))
    assert [run.status for run in found] == expected


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2 * DAY), st.sampled_from("abc"), st.just(1)), max_size=12))
def test_an_idempotency_key_has_one_run_in_a_day(gaps: list[tuple[int, str, int]]) -> None:
    taken: dict[str, int] = {}
    expected, now = [], 0
    for gap, key, _ in gaps:
        now += gap
        first = now - taken.get(key, -DAY) >= DAY
        expected.append("completed" if first else "skipped")
        taken |= {key: now} if first else {}
    assert [run.status for run in runs(gaps, idempotency="event.data.k")] == expected


@settings(max_examples=60)
@given(comings, st.dictionaries(st.sampled_from("ab"), st.integers(-60, 60), min_size=2), st.integers(1, 3))
def test_who_begins_next_came_first_less_the_priority(
    gaps: list[tuple[int, str, int]], ahead: dict[str, int], limit: int
) -> None:
    priority = f"event.data.k == 'a' ? {ahead['a']} : {ahead['b']}"
    found = runs(gaps, after=1_000, concurrency=Concurrency(limit, counts="runs"), priority=priority)
    assert {run.status for run in found} <= {"completed"}
    for run in found:
        waiting = [o for o in found if o.created_at < run.created_at and began(o) > began(run)]
        for other in waiting:  # it came earlier and began later: so it was worth less
            assert rank(run, ahead) <= rank(other, ahead)
    for run in found:
        under_way = [o for o in found if began(o) <= began(run) < began(o) + 1_000 * o.event.data["lasts"]]
        assert len(under_way) <= limit


def rank(run: Run, ahead: dict[str, int]) -> float:
    return (run.created_at - BEGIN).total_seconds() - ahead[run.event.data["k"]]


def test_a_backlog_is_drained_in_order() -> None:
    """In small what the bench does with 100,000."""
    many = [(0, "ab"[n % 2], 1) for n in range(400)]
    found = runs(many, after=500, concurrency=Concurrency(1, counts="runs"), priority="event.data.k == 'a' ? 600 : 0")
    order = [run.event.data["n"] for run in sorted(found, key=began)]
    assert order == [*range(0, 400, 2), *range(1, 400, 2)]
