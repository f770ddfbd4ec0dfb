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
