"""Paused functions: nothing of theirs is claimed, and all of it goes on when they are resumed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from tidemill import App, Batch, Concurrency, Context, Cron, Debounce, Event, StepError, Timeouts
from tidemill.engine.runs.paused import LATER_TICK, look_again
from tidemill.engine.runs.why import explain
from tidemill.model import Pause
from tidemill.testing import Mill

PAY = "shop.pay"


def _pause(mill: Mill, events: Literal["keep", "drop"] = "keep", function: str = PAY) -> None:
    world = mill._machine.world
    world.pauses.pause(function, Pause(world.clock.now(), "ann", events))


def _resume(mill: Mill, function: str = PAY) -> None:
    world = mill._machine.world
    world.pauses.resume(function)
    for _ in look_again(world, function):
        pass
    mill.advance(seconds=1)


def _why(mill: Mill, run: Any) -> str:
    found = explain(mill._machine.world, run.run_id)
    assert found is not None
    return found.why.code


def test_events_are_kept_and_run_in_order_on_resume(serve: Callable[..., Mill]) -> None:
    app, ran = App("shop"), []

    @app.function(on="pay")
    def pay(ctx: Context) -> None:
        ctx.step.run("note", ran.append, ctx.event.data["n"])

    with serve(app) as mill:
        _pause(mill)
        runs = [mill.send("pay", {"n": n}).run(PAY) for n in range(5)]
        mill.advance(hours=3)
        assert ran == []
        assert {(run.status, _why(mill, run)) for run in runs} == {("scheduled", "paused")}
        _resume(mill)
        assert ran == [0, 1, 2, 3, 4]
        assert {run.status for run in runs} == {"completed"}


def test_dropped_events_leave_skipped_runs_and_those_before_stay(serve: Callable[..., Mill]) -> None:
    app = App("shop")

    @app.function(on="pay")
    def pay(ctx: Context) -> None: ...

    with serve(app) as mill:
        _pause(mill)
        kept = mill.send("pay").run(PAY)
        _pause(mill, "drop")
        dropped = mill.send("pay").run(PAY)
        assert dropped.status == "skipped"
        head = mill._machine.world.runs.head(dropped.run_id)
        assert head is not None
        assert (head.due, head.reason) == (None, "its function was paused, and drops events")
        _resume(mill)
        assert (kept.status, dropped.status) == ("completed", "skipped")


@pytest.mark.parametrize("flow", [{"debounce": Debounce("10s")}, {"batch": Batch(10, "10s")}], ids=str)
@pytest.mark.parametrize("kept", [False, True], ids=["gathers", "is kept"])
def test_a_dropped_event_joins_no_run_that_gathers(
    serve: Callable[..., Mill], flow: dict[str, Any], kept: bool
) -> None:
    app, ran = App("shop"), []

    @app.function(on="pay", **flow)
    def pay(ctx: Context) -> None:
        ran.append([event.id for event in ctx.events])

    with serve(app) as mill:
        before = mill.send("pay", id="before").run(PAY)
        if kept:
            _pause(mill)
            mill.advance(seconds=30)
        _pause(mill, "drop")
        dropped = [mill.send("pay", id=f"dropped {n}").run(PAY) for n in range(2)]
        mill.advance(minutes=1)
        assert {run.status for run in dropped} == {"skipped"}
        assert before.run_id not in {run.run_id for run in dropped}
        _resume(mill)
        after = mill.send("pay", id="after").run(PAY)
        mill.advance(minutes=1)
        assert ran == [["before"], ["after"]]
        assert (before.status, after.status) == ("completed", "completed")
        assert {run.status for run in dropped} == {"skipped"}


def test_a_dropped_invocation_fails_the_step_at_once(serve: Callable[..., Mill]) -> None:
    app = App("shop")

    @app.function(on="never")
    def pay(ctx: Context) -> None: ...

    @app.function(on="order")
    def order(ctx: Context) -> str:
        try:
            ctx.step.invoke("pay", PAY, {})
        except StepError as error:
            return str(error)
        return "paid"

    with serve(app) as mill:
        _pause(mill, "drop")
        run = mill.send("order").run("shop.order")
        assert run.output == "the invoked run was skipped: its function was paused, and drops events"
        assert [head.status for head in mill._machine.world.runs.page(_all())] == ["skipped"]
        _resume(mill)
        assert mill.send("order").run("shop.order").output == "paid"


def test_a_running_run_stops_before_its_next_step(serve: Callable[..., Mill]) -> None:
    app, ran = App("shop"), []

    @app.function(on="pay")
    def pay(ctx: Context) -> None:
        ctx.step.run("first", first)
        ctx.step.run("second", ran.append, "second")

    with serve(app) as mill:

        def first() -> None:
            ran.append("first")
            _pause(mill)

        run = mill.send("pay").run(PAY)
        mill.advance(hours=2)
        assert ran == ["first"]
        assert (run.status, _why(mill, run)) == ("running", "paused")
        _resume(mill)
        assert (ran, run.status) == (["first", "second"], "completed")


def test_sleeps_waits_timeouts_and_cancellations_go_on_while_paused(serve: Callable[..., Mill]) -> None:
    app = App("shop")

    @app.function(on="pay")
    def pay(ctx: Context) -> bool:
        return ctx.step.wait_for_event("paid", "paid", timeout="1h") is not None

    @app.function(on="limited", timeouts=Timeouts(finish="2h"))
    def limited(ctx: Context) -> None:
        ctx.step.sleep("rest", "1h")

    with serve(app) as mill:
        run, other = mill.send("pay").run(PAY), mill.send("limited").run("shop.limited")
        _pause(mill)
        _pause(mill, function="shop.limited")
        assert _why(mill, run) == "event"
        mill.send("paid", {"n": 1})
        assert (_why(mill, run), _why(mill, other)) == ("paused", "sleep")
        mill.advance(hours=3)
        assert other.status == "cancelled"
        _resume(mill)
        assert run.output is True


def test_a_paused_run_gives_its_place_to_others(serve: Callable[..., Mill]) -> None:
    app = App("shop")
    limit = Concurrency(1, key="'one'", scope="app")

    @app.function(on="pay", concurrency=limit)
    def pay(ctx: Context) -> None: ...

    @app.function(on="ship", concurrency=limit)
    def ship(ctx: Context) -> None: ...

    with serve(app) as mill:
        _pause(mill)
        paused, other = mill.send("pay").run(PAY), mill.send("ship").run("shop.ship")
        assert (paused.status, other.status) == ("scheduled", "completed")
        _resume(mill)
        assert paused.status == "completed"


def test_of_the_ticks_of_a_schedule_the_latest_runs_on_resume(serve: Callable[..., Mill]) -> None:
    app, ran = App("shop"), []

    @app.function(on=[Cron("0 * * * *"), Event("now")])
    def pay(ctx: Context) -> None:
        ctx.step.run("note", ran.append, ctx.event.ts)

    with serve(app) as mill:
        _pause(mill)
        mill.advance(hours=5, minutes=30)
        assert ran == []
        _resume(mill)
        assert len(ran) == 1
        assert timedelta(milliseconds=mill._machine.clock.now() - ran[0]) < timedelta(hours=1)
        heads = [head for head in mill._machine.world.runs.page(_all()) if head.status == "skipped"]
        assert {head.reason for head in heads} == {LATER_TICK}
        assert len(heads) == 4


def _all() -> Any:
    from tidemill.ports import RunQuery

    return RunQuery(function_id=PAY)
