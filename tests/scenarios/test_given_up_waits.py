"""What code gives up takes no event; waits that are open at the same time each get theirs."""

from __future__ import annotations

import asyncio

import pytest

from tidemill import App, AsyncContext, Context
from tidemill.testing import Mill


@pytest.mark.parametrize("kind", ["event", "signal"])
@pytest.mark.parametrize("cancelled", [True, False])
def test_a_wait_that_lost_a_race_hides_nothing_from_the_next(serve, cancelled, kind):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> object:
        def wait(id: str):
            if kind == "signal":
                return ctx.step.wait_for_signal(id, "call", timeout="10d")
            return ctx.step.wait_for_event(id, "call", timeout="10d")

        loser = asyncio.ensure_future(wait("first"))
        winner = asyncio.ensure_future(ctx.step.sleep("nap", "1h"))
        await asyncio.wait([loser, winner], return_when=asyncio.FIRST_COMPLETED)
        if cancelled:
            loser.cancel()
        await ctx.step.sleep("rest", "1h")
        found = await wait("second")
        return found if kind == "signal" else found.id

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("90m")
        if kind == "signal":
            mill.signal("call", "c1")
        else:
            mill.send("call", id="c1")
        mill.advance("1h")
        assert run.output == "c1"


def test_a_wait_that_code_was_given_does_hide_its_event(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[object]:
        task = asyncio.ensure_future(ctx.step.wait_for_event("first", "call", timeout="1d"))
        await ctx.step.sleep("rest", "1h")
        first = await task
        second = await ctx.step.wait_for_event("second", "call", timeout="1d")
        return [first.id, second and second.id]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("call", id="c1")
        mill.advance("3d")
        assert run.output == ["c1", None]


def test_a_wait_that_a_reload_has_renamed_takes_nothing(serve):
    def app(name: str) -> App:
        app = App("shop")

        @app.function(on="go")
        def work(ctx: Context) -> str:
            if name == "new":
                ctx.step.sleep("rest", "1h")
            found = ctx.step.wait_for_event(name, "call", timeout="10d")
            return f"{name} {found.id}"

        return app

    with serve(app("old")) as mill:
        run = mill.send("go").run()
        mill.reload(app("new"))
        mill.send("call", id="c1")
        mill.advance("2h")
        assert run.output == "new c1"


@pytest.mark.parametrize("before", [True, False])
def test_waits_that_are_open_at_the_same_time_each_get_the_event(serve, before):
    app = App("shop")

    @app.function(on="go")
    def branches(ctx: Context) -> list[str]:
        ctx.step.sleep("nap", "1h")
        first, second = ctx.step.parallel(
            lambda: ctx.step.wait_for_event("a", "call").id, lambda: ctx.step.wait_for_event("b", "call").id
        )
        later = ctx.step.wait_for_event("later", "call", timeout="1h")
        return [first, second, str(later)]

    @app.function(on="go")
    async def tasks(ctx: AsyncContext) -> list[str]:
        await ctx.step.sleep("nap", "1h")
        found = await asyncio.gather(ctx.step.wait_for_event("a", "call"), ctx.step.wait_for_event("b", "call"))
        later = await ctx.step.wait_for_event("later", "call", timeout="1h")
        return [*(each.id for each in found), str(later)]

    with serve(app) as mill:
        runs = mill.send("go").runs
        if before:
            mill.send("call", id="c1")
        mill.advance("61m")
        if not before:
            mill.send("call", id="c1")
        mill.advance("2h")
        assert [run.output for run in runs] == [["c1", "c1", "None"]] * 2


def test_a_wait_on_a_busy_name_gives_none_at_its_timeout():
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        found = ctx.step.wait_for_event("quiet", "busy", when="async.data.n < 0", timeout="1h")
        return found and found.id

    with Mill(app) as mill:
        run = mill.send("go").run()
        for first in range(0, 10_200, 400):
            mill.send([{"name": "busy", "data": {"n": n}} for n in range(first, first + 400)])
        mill.advance("2h")
        assert (run.status, run.output) == ("completed", None)
