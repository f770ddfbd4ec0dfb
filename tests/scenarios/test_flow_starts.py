"""A throttle and a rate limit bound starts, not plans: what they do when places were taken while turns passed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tidemill import App, Concurrency, Context, RateLimit, Throttle

SHARED = Concurrency(30, key="'machine'", scope="app", counts="runs")


def _app(**flow: Any) -> App:
    """One function holds all the places of a machine for ten seconds, so that no run of the other begins."""
    app = App("shop")

    @app.function(on="hold", concurrency=SHARED)
    def hold(ctx: Context) -> None:
        ctx.step.sleep("hold", "10s")

    @app.function(on="go", concurrency=SHARED, **flow)
    def work(ctx: Context) -> None:
        ctx.step.run("work", lambda: 1)

    return app


def _starts(mill: Any) -> list[int]:
    """Milliseconds since the test began, in order."""
    began = [run.started_at for run in mill.runs("shop.work") if run.started_at is not None]
    return sorted(int((at - mill.begin).total_seconds() * 1_000) for at in began)


def _most(times: list[int], period: int) -> int:
    return max(sum(at <= other < at + period for other in times) for at in times)


def _held(mill: Any, gap: str, count: int) -> None:
    mill.begin = mill.now
    mill.send([{"name": "hold"}] * 30)
    for _ in range(count):
        mill.send("go")
        mill.advance(gap)
    mill.advance("1m")


def test_a_throttle_whose_runs_wait_for_places(serve):
    with serve(_app(throttle=Throttle(10, "1s"))) as mill:
        _held(mill, "300ms", 40)
        times = _starts(mill)
        assert len(times) == 40
        assert times[0] >= 10_000
        assert all(other - one >= 100 for one, other in pairwise(times))
        order = sorted(mill.runs("shop.work"), key=lambda run: run.created_at)
        assert [run.started_at for run in order] == sorted(run.started_at for run in order), "none overtakes another"


@pytest.mark.parametrize(
    ("throttle", "lasts", "gap"),
    [(Throttle(2, "1m"), 59_000, 30_000), (Throttle(2, "7s"), 6_900, 3_500), (Throttle(10, "10s"), 1_900, 1_000)],
)
def test_a_start_that_is_late_moves_those_that_follow(serve, throttle, lasts, gap):
    app = App("shop")

    @app.function(on="go", throttle=throttle, concurrency=Concurrency(1, counts="runs"))
    def work(ctx: Context) -> None:
        if ctx.event.data["lasts"]:
            ctx.step.sleep("hold", ctx.event.data["lasts"] / 1_000)

    with serve(app) as mill:
        mill.begin = mill.now
        mill.send([{"name": "go", "data": {"lasts": each}} for each in [lasts, 0, 0, 0, 0, 0, 0]])
        mill.advance("9m")
        first, *others = _starts(mill)
        assert [at - first for at in others] == [lasts + gap * n for n in range(6)]


def test_a_rate_limit_whose_runs_wait_for_places(serve):
    with serve(_app(rate_limit=RateLimit(5, "2s"))) as mill:
        _held(mill, "400ms", 24)
        assert _most(_starts(mill), 2_000) == 5
        skipped = [run for run in mill.runs("shop.work") if run.status == "skipped"]
        assert {run.reason for run in skipped} == {"over the rate limit: 5 in 2s"}
        assert all(run.status in ("completed", "skipped") for run in mill.runs("shop.work"))
        mill.advance("2s")
        assert mill.send("go").run("shop.work").status == "completed"
