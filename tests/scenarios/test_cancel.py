"""Runs that are ended from outside: by hand, by an event, by their time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tidemill import App, CancelOn, Context, Timeouts


def order(**options):
    app = App("shop")
    app.after = []  # type: ignore[attr-defined]

    @app.function(on="order/placed", **options)
    def work(ctx: Context) -> str:
        ctx.step.sleep("picking", "1h")
        ctx.step.wait_for_event("paid", "order/paid", match="data.order_id", timeout="1d")
        ctx.step.run("ship", lambda: app.after.append("shipped"))  # type: ignore[attr-defined]
        return "done"

    return app


@pytest.mark.parametrize("hours", [0, 2])
def test_by_hand_while_it_sleeps_or_waits(serve, hours):
    app = order()
    with serve(app) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance(hours=hours)
        assert run.status == ("sleeping" if hours == 0 else "waiting")
        assert run.cancel("wrong size") is True
        assert (run.status, run.reason, run.error, run.output) == ("cancelled", "wrong size", None, None)
        assert run.steps[-1].status == "cancelled"
        assert run.cancel() is False
        mill.advance("2d")
        mill.send("order/paid", {"order_id": 1})
        assert (run.status, app.after) == ("cancelled", [])


def test_an_ended_run_cannot_be_cancelled(serve):
    with serve(order()) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("2d")
        assert run.cancel() is False
        assert run.status == "completed"


@pytest.mark.parametrize(
    "on", [CancelOn("order/withdrawn", match="data.order_id"),
           CancelOn("order/withdrawn", when="async.data.order_id == event.data.order_id"),
           [CancelOn("shop/closed", when="true"), CancelOn("order/withdrawn", match="data.order_id")]]
)  # fmt: skip
def test_by_an_event(serve, on):
    app = order(cancel_on=on)
    with serve(app) as mill:
        one, two = (mill.send("order/placed", {"order_id": n}).run() for n in (1, 2))
        mill.send("order/withdrawn", {"order_id": 2}, id="w1")
        assert (one.status, two.status) == ("sleeping", "cancelled")
        assert "order/withdrawn" in two.reason
        mill.advance("2d")
        assert (one.status, app.after) == ("completed", ["shipped"])


def test_an_event_before_the_runs_own_cancels_nothing(serve):
    with serve(order(cancel_on=CancelOn("order/withdrawn", match="data.order_id"))) as mill:
        mill.send("order/withdrawn", {"order_id": 1})
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("2d")
        assert run.status == "completed"


def test_a_delayed_run_is_cancelled_before_it_begins(serve):
    with serve(order(cancel_on=CancelOn("order/withdrawn", match="data.order_id"))) as mill:
        run = mill.send("order/placed", {"order_id": 1}, ts=mill.now + timedelta(days=1)).run()
        mill.send("order/withdrawn", {"order_id": 1})
        mill.advance("3d")
        assert (run.status, run.started_at) == ("cancelled", None)


def test_only_for_a_time(serve):
    with serve(order(cancel_on=CancelOn("order/withdrawn", match="data.order_id", timeout="30m"))) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("31m")
        mill.send("order/withdrawn", {"order_id": 1})
        mill.advance("2d")
        assert run.status == "completed"


def test_a_finish_timeout(serve):
    with serve(order(timeouts=Timeouts(finish="5h"))) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("4h59m59s")
        assert run.status == "waiting"
        mill.advance(seconds=1)
        assert run.status == "cancelled"
        assert "finish" in run.reason
        assert run.ended_at - run.created_at == timedelta(hours=5)


def test_a_finish_timeout_of_a_delayed_run_counts_from_its_time(serve):
    with serve(order(timeouts=Timeouts(finish="5h", start="1h"))) as mill:
        run = mill.send("order/placed", {"order_id": 1}, ts=mill.now + timedelta(days=1)).run()
        mill.advance("1d4h")
        assert run.status == "waiting"
        mill.advance("2h")
        assert run.status == "cancelled"


def test_a_start_timeout_of_a_run_that_is_held(serve):
    with serve(order(timeouts=Timeouts(start="30m"))) as mill:
        run = mill.send("order/placed", {"order_id": 1}, ts=mill.now + timedelta(hours=1)).run()
        mill.reload(App("other"))
        mill.advance("1h1m")
        assert run.status == "scheduled"
        assert "not declared" in run.reason
        mill.advance("30m")
        assert run.status == "cancelled"
        assert "start" in run.reason


def test_a_child_goes_on_when_its_parent_is_cancelled(serve):
    app = App("shop")

    @app.function()
    def child(ctx: Context) -> int:
        ctx.step.sleep("x", "1h")
        return 1

    @app.function(on="go")
    def parent(ctx: Context) -> int:
        return ctx.step.invoke("child", child)

    with serve(app) as mill:
        run = mill.send("go").run()
        run.cancel()
        mill.advance("1h")
        assert (run.status, mill.run(child).status) == ("cancelled", "completed")
