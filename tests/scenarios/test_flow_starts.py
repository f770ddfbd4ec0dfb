"""A throttle and a rate limit bound starts, not plans: what they do when places were taken while turns passed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

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
        assert _most(times, 1_000) <= 10
        assert all(other - one >= 50 for one, other in pairwise(times))
        order = sorted(mill.runs("shop.work"), key=lambda run: run.created_at)
        assert [run.started_at for run in order] == sorted(run.started_at for run in order), "none overtakes another"


def test_a_rate_limit_whose_runs_wait_for_places(serve):
    with serve(_app(rate_limit=RateLimit(5, "2s"))) as mill:
        _held(mill, "400ms", 24)
        assert _most(_starts(mill), 2_000) == 5
        skipped = [run for run in mill.runs("shop.work") if run.status == "skipped"]
        assert {run.reason for run in skipped} == {"over the rate limit: 5 in 2s"}
        assert all(run.status in ("completed", "skipped") for run in mill.runs("shop.work"))
        mill.advance("2s")
        assert mill.send("go").run("shop.work").status == "completed"
