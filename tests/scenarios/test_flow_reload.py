"""What a reload, or a deploy, that changes flow control does to the runs that are there."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Batch, Concurrency, Context, Debounce, RateLimit, Singleton, Throttle
from tidemill.limits import SNAPSHOT_RECORDS

ADDED: dict[str, dict[str, Any]] = {
    "concurrency": {"concurrency": Concurrency(1, key="event.data.k")},
    "places of runs": {"concurrency": Concurrency(1, counts="runs")},
    "throttle": {"throttle": Throttle(1, "1s")},
    "rate limit": {"rate_limit": RateLimit(1, "1s")},
    "singleton": {"singleton": Singleton("cancel", key="event.data.k")},
    "idempotency": {"idempotency": "event.data.k"},
    "debounce": {"debounce": Debounce("1s")},
    "batch": {"batch": Batch(2, "1s")},
    "priority": {"concurrency": Concurrency(1), "priority": "event.data.p"},
}


def _waiting(**flow: Any) -> App:
    app = App("shop")

    @app.function(on="go", **flow)
    def work(ctx: Context) -> str:
        for number in range(SNAPSHOT_RECORDS):
            ctx.step.run(f"s{number}", lambda: 1)
        return str(ctx.step.wait_for_event("answer", "call")) and "done"

    return app


@pytest.mark.parametrize("added", ADDED)
def test_a_run_that_waits_goes_on_when_its_function_gets_flow_control(serve, added):
    """Its head names a snapshot, so what is read of it at a wake-up is only the tail."""
    with serve(_waiting()) as mill:
        run = mill.send("go", {"k": "a", "p": 1}).run()
        assert run.status == "waiting"
        mill.reload(_waiting(**ADDED[added]))
        mill.send("call")
        mill.advance("1m")
        assert run.output == "done"


def _busy(**flow: Any) -> App:
    app = App("shop")

    @app.function(on="go", **flow)
    def work(ctx: Context) -> None:
        ctx.step.sleep("work", "10m")

    return app


def _under_way(mill: Any) -> int:
    return len(mill.runs("shop.work", status="sleeping"))


ONE_OF_ANN = Concurrency(1, key="event.data.user", counts="runs")


@pytest.mark.parametrize(
    ("after", "under_way"),
    [
        ({"concurrency": Concurrency(3, key="event.data.user", counts="runs")}, 3),
        ({"concurrency": Concurrency(2, counts="runs")}, 3),  # one under way has a place of the old limit
        ({"concurrency": Concurrency(1, key="event.data.n", counts="runs")}, 5),
        ({"throttle": Throttle(5, "1s", burst=5)}, 5),
        ({}, 5),
    ],
    ids=["raised", "without a key", "another key", "another feature", "removed"],
)
def test_a_reload_that_changes_a_limit_serves_its_line_at_once(serve, after, under_way):
    with serve(_busy(concurrency=ONE_OF_ANN)) as mill:
        for n in range(5):
            mill.send("go", {"user": "ann", "n": n})
        assert _under_way(mill) == 1
        mill.reload(_busy(**after))
        assert _under_way(mill) == under_way
        mill.advance("2h")
        assert len(mill.runs("shop.work", status="completed")) == 5


@pytest.mark.parametrize(
    ("after", "under_way"),
    [({"throttle": Throttle(10, "1s", burst=10)}, 5), ({"throttle": Throttle(1, "1m")}, 2), ({}, 5)],
    ids=["raised", "other period", "removed"],
)
def test_a_reload_that_changes_a_throttle_plans_anew(serve, after, under_way):
    with serve(_busy(throttle=Throttle(1, "1h"))) as mill:
        runs = [mill.send("go", {"n": n}).run() for n in range(5)]
        assert _under_way(mill) == 1
        mill.reload(_busy(**after))
        assert _under_way(mill) == under_way
        mill.advance("5m")
        order = [run.started_at for run in runs]
        assert order == sorted(order), "in their order"
