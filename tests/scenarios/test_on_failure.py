"""A handler for runs that have failed: a function of its own."""

from __future__ import annotations

from tidemill import App, AsyncContext, Context


def test_it_runs_once_when_a_run_has_failed(serve):
    app, told = App("shop"), []

    def apologise(ctx: Context) -> str:
        data = ctx.event.data
        ctx.step.sleep("cool down", "1h")
        ctx.step.run("mail", told.append, (data["error"]["message"], data["event"]["data"]["n"]))
        return data["run_id"]

    @app.function(on="go", retries=1, on_failure=apologise)
    def work(ctx: Context) -> None:
        if ctx.event.data["n"] > 1:
            raise ValueError("too many")

    with serve(app) as mill:
        mill.send("go", {"n": 1})
        run = mill.send("go", {"n": 2}).run()
        mill.advance("1m")
        handler = mill.run("shop.work-failure")
        assert (run.status, handler.event.name) == ("failed", "tidemill/function.failed")
        assert handler.event.data["function_id"] == "shop.work"
        assert handler.event.data["error"]["type"] == "ValueError"
        mill.advance("1h")
        assert handler.output == run.id
        assert told == [("too many", 2)]


def test_an_async_handler_with_retries_of_its_own(serve):
    app, calls = App("shop"), []

    async def handler(ctx: AsyncContext) -> str:
        async def mail() -> str:
            calls.append(1)
            if len(calls) < 3:
                raise OSError("no mail")
            return "sent"

        return await ctx.step.run("mail", mail)

    @app.function(on="go", retries=2, on_failure=handler)
    async def work(ctx: AsyncContext) -> None:
        await ctx.step.options(retries=0).run("bad", lambda: 1 / 0)

    with serve(app) as mill:
        mill.send("go")
        mill.advance("1m")
        assert mill.run("shop.work-failure").output == "sent"


def test_a_cancelled_run_has_not_failed_and_a_failed_handler_has_no_handler(serve):
    app = App("shop")

    def handler(ctx: Context) -> None:
        raise ValueError("the handler, too")

    @app.function(on="go", retries=0, on_failure=handler)
    def work(ctx: Context) -> None:
        ctx.step.sleep("x", "1h")
        raise ValueError("bad")

    with serve(app) as mill:
        mill.send("go").run("shop.work").cancel()
        mill.advance("2h")
        assert mill.runs("shop.work-failure") == []
        mill.send("go")
        mill.advance("2h")
        assert mill.run("shop.work-failure").error.message == "the handler, too"
