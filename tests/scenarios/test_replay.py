"""The code between steps runs again: what that may and may not change."""

from __future__ import annotations

import logging

import pytest

from tidemill import App, AsyncContext, Context


def test_the_logger_is_silent_while_replaying(serve, caplog):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.logger.info("begin")
        ctx.step.run("a", lambda: None)
        ctx.logger.info("after a")
        ctx.step.sleep("nap", "1h")
        ctx.logger.info("awake in %s", ctx.function_id)
        ctx.step.run("b", lambda: None)
        ctx.logger.info("end")

    with serve(app) as mill, caplog.at_level(logging.INFO, logger="tidemill"):
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.status == "completed"
        assert [r.getMessage() for r in caplog.records] == ["begin", "after a", "awake in shop.work", "end"]
        assert {(r.run_id, r.function_id) for r in caplog.records} == {(run.id, "shop.work")}


def first(kind: str):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        if kind == "run":
            ctx.step.run("x", lambda: 1)
        elif kind == "sleep":
            ctx.step.sleep("x", "1h")
        elif kind == "wait":
            ctx.step.wait_for_event("x", "y", timeout="1h")
        elif kind == "send":
            ctx.step.send_event("x", {"name": "z"})
        elif kind == "new first":
            ctx.step.run("new", lambda: 1)
            ctx.step.run("x", lambda: 2)
        ctx.step.sleep("end", "2h")
        return kind

    return app


@pytest.mark.parametrize(("before", "after"), [("run", "sleep"), ("sleep", "run"), ("wait", "run"), ("send", "wait")])
def test_a_step_of_another_kind_fails_the_run_with_a_sentence(serve, before, after):
    with serve(first(before)) as mill:
        run = mill.send("go").run()
        mill.reload(first(after))
        mill.advance("4h")
        assert (run.status, run.error.type) == ("failed", "NonDeterministicError")
        assert f"'x' is a {after!r} step now" in run.error.message
        assert f"as {before!r}" in run.error.message
        assert run.attempt == 1


def test_new_steps_may_come_and_old_ones_go(serve):
    with serve(first("run")) as mill:
        run = mill.send("go").run()
        mill.reload(first("new first"))
        mill.advance("3h")
        assert run.output == "new first"
        assert run.step("x").output == 1


def test_a_reload_goes_on_with_the_new_code(serve):
    def version(word: str) -> App:
        app = App("shop")

        @app.function(on="go")
        async def work(ctx: AsyncContext) -> list[str]:
            old = await ctx.step.run("first", lambda: word)
            await ctx.step.sleep("nap", "1h")
            return [old, await ctx.step.run("second", lambda: word)]

        return app

    with serve(version("old")) as mill:
        run = mill.send("go").run()
        mill.reload(version("new"))
        mill.advance("1h")
        assert run.output == ["old", "new"]


def test_a_function_that_disappears_holds_its_runs_until_it_returns(serve):
    app = first("run")
    with serve(app) as mill:
        run = mill.send("go").run()
        mill.reload(App("other"))
        mill.advance("30d")
        assert run.status == "sleeping"
        assert "not declared" in run.reason
        mill.reload(app)
        assert run.output == "run"
        assert run.reason is None


def test_code_that_depends_on_the_clock_shows_when_replayed_after_every_step():
    from tidemill.testing import Mill

    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> object:
        calls.append(1)
        if len(calls) > 1:
            ctx.step.sleep("a", 1)
        else:
            ctx.step.run("a", lambda: 1)
        return ctx.step.run("b", lambda: 2)

    with Mill(app) as mill:
        assert mill.send("go").run().status == "completed"
    calls.clear()
    with Mill(app, replays=True) as mill:
        assert mill.send("go").run().error.type == "NonDeterministicError"
