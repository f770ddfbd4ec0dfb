"""Waiting for the first of several events."""

from __future__ import annotations

import pytest

from tidemill import App, AsyncContext, Context, Wait

WAITS = {
    "paid": Wait("order/paid", match="data.order_id"),
    "refused": Wait("order/refused", when="async.data.order_id == event.data.order_id"),
    "closed": Wait("shop/closed"),
}


def shop():
    app = App("shop")

    @app.function(on="order/placed")
    def order(ctx: Context) -> object:
        found = ctx.step.wait_for_any("outcome", WAITS, timeout="1d")
        return [found[0], found[1].name, found[1].data] if found is not None else None

    return app


def test_the_first_wins_and_the_others_are_dropped(serve):
    with serve(shop()) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.send("order/paid", {"order_id": 2})
        assert run.status == "waiting"
        mill.send("order/refused", {"order_id": 1})
        assert run.output == ["refused", "order/refused", {"order_id": 1}]
        mill.send("order/paid", {"order_id": 1})
        assert run.output[0] == "refused"
        label, event = run.step("outcome").output
        assert (label, event.name) == ("refused", "order/refused")


def test_one_without_a_condition(serve):
    with serve(shop()) as mill:
        one, two = (mill.send("order/placed", {"order_id": n}).run() for n in (1, 2))
        mill.send("shop/closed")
        assert one.output[0] == two.output[0] == "closed"


def test_none_at_the_timeout(serve):
    with serve(shop()) as mill:
        run = mill.send("order/placed", {"order_id": 1}).run()
        mill.advance("1d")
        assert (run.status, run.output) == ("completed", None)


def test_the_oldest_that_came_before_the_wait(serve):
    app = App("shop")

    @app.function(on="go")
    async def late(ctx: AsyncContext) -> str:
        await ctx.step.sleep("first", "1h")
        label, _ = await ctx.step.wait_for_any("x", {"b": Wait("b"), "a": Wait("a")})
        other, _ = await ctx.step.wait_for_any("y", {"b": Wait("b"), "a": Wait("a")})
        return label + other

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("a")
        mill.send("b")
        mill.advance("1h")
        assert run.output == "ab"


def test_the_loser_is_still_there_for_another_wait(serve):
    app = App("shop")

    @app.function(on="go")
    def two(ctx: Context) -> list[str]:
        label, _ = ctx.step.wait_for_any("first", {"a": Wait("a"), "b": Wait("b")})
        event = ctx.step.wait_for_event("then", "b")
        return [label, event.name]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("a")
        assert run.status == "waiting"
        mill.send("b")
        assert run.output == ["a", "b"]


ALL = {
    "z": Wait("user/moved", when="async.data.n >= event.data.n"),
    "b": Wait("user/moved", match="data.user_id"),
    "a": Wait("user/moved", when="async.data.n >= 0"),
}


@pytest.mark.parametrize("first", ALL)
@pytest.mark.parametrize("before", [False, True])
def test_of_several_waits_that_an_event_fits_the_first_in_the_code_gets_it(serve, first, before):
    app = App("shop")
    waits = {first: ALL[first], **ALL}

    @app.function(on="go")
    def work(ctx: Context) -> object:
        if before:
            ctx.step.sleep("the event comes first", "1h")
        found = ctx.step.wait_for_any("which", waits)
        return found[0] if found is not None else None

    with serve(app) as mill:
        run = mill.send("go", {"n": 1, "user_id": "u1"}).run()
        mill.send("user/moved", {"n": 2, "user_id": "u1"})
        mill.advance("2h")
        assert run.output == first
