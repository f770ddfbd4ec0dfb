"""Waiting for an event: matched, filtered, in time, and never missed because it came early."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tidemill import App, AsyncContext, Context


def waiting(**options):
    app = App("shop")

    @app.function(on="order/placed")
    def order(ctx: Context) -> object:
        first = ctx.step.run("reserve", lambda: "reserved")
        found = ctx.step.wait_for_event("payment", "order/paid", **{"timeout": "3d", **options})
        return [first, found.data] if found is not None else None

    return app


def test_the_matching_event_wakes_the_run_and_no_other(serve):
    with serve(waiting(match="data.order_id")) as mill:
        one = mill.send("order/placed", {"order_id": 1}).run()
        two = mill.send("order/placed", {"order_id": 2}).run()
        assert (one.status, one.step("payment").status) == ("waiting", "waiting")
        mill.send("order/paid", {"order_id": 2, "by": "card"})
        assert one.status == "waiting"
        assert two.output == ["reserved", {"order_id": 2, "by": "card"}]
        mill.send("order/paid", {"order_id": 1.0})
        assert one.output == ["reserved", {"order_id": 1}], "numbers compare across int and float"


def test_none_at_the_timeout_and_not_before(serve):
    with serve(waiting(match="data.order_id")) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("2d23h59m59s")
        assert run.status == "waiting"
        mill.advance(seconds=1)
        assert (run.status, run.output) == ("completed", None)
        assert run.ended_at - run.started_at == timedelta(days=3)
        mill.send("order/paid", {"order_id": 1})
        assert run.output is None


def test_a_condition_over_both_events(serve):
    with serve(
        waiting(when="async.data.order_id == event.data.order_id && async.data.amount >= event.data.total")
    ) as mill:
        run = mill.send("order/placed", {"order_id": "a", "total": 10}).run()
        mill.send("order/paid", {"order_id": "a", "amount": 9})
        mill.send("order/paid", {"order_id": "b", "amount": 10})
        assert run.status == "waiting"
        mill.send("order/paid", {"order_id": "a", "amount": 10.5})
        assert run.status == "completed"


def test_without_a_condition_any_event_of_the_name(serve):
    with serve(waiting()) as mill:
        one, two = mill.send("order/placed").run(), mill.send("order/placed").run()
        mill.send("order/refunded")
        assert one.status == "waiting"
        mill.send("order/paid", {"x": 1})
        assert one.output == two.output == ["reserved", {"x": 1}]


def test_a_missing_path_matches_nothing(serve):
    with serve(waiting(match="data.order_id")) as mill:
        run = mill.send("order/placed", {"total": 1}).run()
        mill.send("order/paid", {"total": 1})
        mill.send("order/paid", {"order_id": None})
        assert run.status == "waiting"
        mill.advance("3d")
        assert run.output is None


def test_a_null_is_a_value(serve):
    with serve(waiting(match="data.order_id")) as mill:
        run = mill.send("order/placed", {"order_id": None}).run()
        mill.send("order/paid", {})
        assert run.status == "waiting"
        mill.send("order/paid", {"order_id": None})
        assert run.status == "completed"


def late(**options):
    """Reaches its wait only after an hour."""
    app = App("shop")

    @app.function(on="order/placed")
    def order(ctx: Context) -> object:
        ctx.step.sleep("picking", "1h")
        found = ctx.step.wait_for_event("payment", "order/paid", match="data.order_id", timeout="1h", **options)
        return found.id if found is not None else None

    return app


def test_an_event_that_came_before_the_wait_is_found_oldest_first(serve):
    with serve(late()) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        for number in (1, 2, 3):
            mill.send("order/paid", {"order_id": 1}, id=f"p{number}")
        mill.advance("1h")
        assert run.output == "p1"


def test_an_event_before_the_runs_own_is_not_found(serve):
    with serve(late()) as mill:
        mill.send("order/paid", {"order_id": 1}, id="old")
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("1h")
        assert run.status == "waiting"
        mill.advance("1h")
        assert (run.status, run.output) == ("completed", None)


def test_the_receipt_counts_and_not_the_senders_time(serve):
    with serve(late()) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.send("order/paid", {"order_id": 1}, id="backdated", ts=mill.now - timedelta(days=1))
        mill.advance("1h")
        assert run.output == "backdated"


def test_without_look_back_only_what_comes_later(serve):
    with serve(late(lookback=False)) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.send("order/paid", {"order_id": 1}, id="early")
        mill.advance("1h")
        assert run.status == "waiting"
        mill.send("order/paid", {"order_id": 1}, id="late")
        assert run.output == "late"


def test_what_an_earlier_wait_has_taken_is_not_found_again(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def order(ctx: Context) -> list:
        ids = []
        for _ in range(3):
            found = ctx.step.wait_for_event("item", "item/picked", match="data.order_id", timeout="1h")
            ids.append(found.id if found is not None else None)
        return ids

    with serve(app) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.send("item/picked", {"order_id": 1}, id="i1")
        mill.send("item/picked", {"order_id": 1}, id="i2")
        mill.advance("1h")
        assert run.output == ["i1", "i2", None]
        assert [s.id for s in run.steps] == ["item", "item:1", "item:2"]


def test_another_condition_may_find_the_same_event(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def order(ctx: Context) -> list:
        one = ctx.step.wait_for_event("a", "item/picked", match="data.order_id", timeout="1h")
        two = ctx.step.wait_for_event("b", "item/picked", when="async.data.order_id > 0", timeout="1h")
        return [one.id, two and two.id]

    with serve(app) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.send("item/picked", {"order_id": 1}, id="i1")
        assert run.output == ["i1", "i1"]


def test_the_runs_own_event_is_never_the_awaited_one(serve):
    app = App("shop")

    @app.function(on="ping")
    def pong(ctx: Context) -> object:
        found = ctx.step.wait_for_event("again", "ping", timeout="1h")
        return found and found.id

    with serve(app) as mill:
        run = mill.send("ping", id="p1").runs[0]
        assert run.status == "waiting"
        mill.send("ping", id="p2")
        assert run.output == "p2"


def test_the_event_is_the_whole_event(serve):
    app = App("shop")

    @app.function(on="go")
    async def wait(ctx: AsyncContext) -> list:
        found = await ctx.step.wait_for_event("x", "other")
        return [found.id, found.name, found.data, found.user, found.v]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("other", {"a": [1]}, id="o1", user={"id": "u"}, v="3")
        assert run.output == ["o1", "other", {"a": [1]}, {"id": "u"}, "3"]
        assert run.step("x").output.id == "o1"


def test_an_event_in_the_last_moment_counts(serve):
    with serve(waiting(match="data.order_id", timeout="1h")) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance(milliseconds=3_600_000 - 1)
        mill.send("order/paid", {"order_id": 1})
        assert run.status == "completed"


def test_waits_of_an_ended_run_are_gone(serve):
    with serve(waiting(match="data.order_id")) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        run.cancel()
        mill.send("order/paid", {"order_id": 1})
        assert run.status == "cancelled"
        assert run.step("payment").status == "cancelled"


@pytest.mark.parametrize("options", [{"match": "data.a", "when": "true"}, {"match": "data."}, {"when": "async.data.("}])
def test_a_condition_that_makes_no_sense_is_told(serve, options):
    app = App("shop")

    @app.function(on="go")
    def wait(ctx: Context) -> None:
        ctx.step.wait_for_event("x", "other", **options)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "'x'" in run.error.message
