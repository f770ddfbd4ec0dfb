"""A rate limit against a model of itself: try every window there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.flow import rate
from tidemill_local.store.database import MEMORY, Database


def model(times: list[int], limit: int, period: int) -> list[bool]:
    """A start is let in if no window that ends with it then holds more than `limit`."""
    taken: list[int] = []
    answers = []
    for now in times:
        answers.append(len([at for at in taken if now - period < at <= now]) < limit)
        taken += [now] if answers[-1] else []
    return answers


@given(st.lists(st.integers(0, 400), max_size=50), st.integers(1, 5), st.integers(1, 1_000))
def test_the_store_lets_in_what_the_model_lets_in(gaps, limit, period):
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    with Database(MEMORY) as db:
        answers = [db.flow.count("k", f"run{n}", now, limit, period) for n, now in enumerate(times)]
        assert answers == model(times, limit, period)
    starts: list[int] = []
    for now, let_in in zip(times, answers, strict=True):
        assert rate.admits(starts, now, limit, period) is let_in
        starts += [now] if let_in else []
    for at in starts:
        assert sum(at <= other < at + period for other in starts) <= limit
