"""The process dies: nothing that was remembered is lost, and the step that ran has failed once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tidemill import App, AsyncContext, Context, StepError


def test_while_a_step_runs(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        def charge() -> int:
            calls.append(ctx.attempt)
            return ctx.attempt

        return [ctx.step.run("first", lambda: 1), ctx.step.run("charge", charge), ctx.step.run("last", lambda: 3)]

    with serve(app) as mill:
        mill.crash("charge")
        run = mill.send("go").run()
        assert run.step("charge").status == "retrying"
        assert run.step("charge").error.type == "Crashed"
        mill.advance("1m")
        assert run.output == [1, 2, 3]
        assert (run.step("charge").attempts, calls, run.attempt) == (2, [1, 2], 1)
        assert run.step("first").attempts == 1


def test_between_steps_costs_no_attempt(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        return [ctx.step.run(name, lambda name=name: calls.append(name) or ctx.attempt) for name in "abc"]

    with serve(app) as mill:
        mill.crash(after="a")
        run = mill.send("go").run()
        mill.advance("1m")
        assert calls == ["a", "b", "c"]
        assert run.status == "completed"


def test_again_and_again_uses_up_the_retries_of_the_step(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> str:
        try:
            ctx.step.run("charge", lambda: calls.append(1))
        except StepError as error:
            return f"{error.type} {error.step_id}"
        return "?"

    with serve(app) as mill:
        mill.crash("charge", times=99)
        run = mill.send("go").run()
        mill.advance("1h")
        assert (run.output, len(calls)) == ("Crashed charge", 3)


def test_a_step_without_retries_fails_and_can_be_caught(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> str:
        try:
            ctx.step.run("charge", lambda: None)
        except StepError as error:
            return error.type
        return "?"

    with serve(app) as mill:
        mill.crash("charge")
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == "Crashed"


@pytest.mark.parametrize("tool", ["gather", "group"])
def test_in_async_code(serve, tool):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list:
        async def one(name: str) -> str:
            return await ctx.step.run(name, lambda: name)

        if tool == "gather":
            return await asyncio.gather(one("a"), one("b"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name)) for name in "ab"]
        return [task.result() for task in tasks]

    with serve(app) as mill:
        mill.crash("b")
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == ["a", "b"]


def test_code_that_swallows_everything_does_not_survive(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> str:
        with contextlib.suppress(BaseException):
            ctx.step.run("a", lambda: calls.append("a"))
        return ctx.step.run("b", lambda: calls.append("b") or "B")

    with serve(app) as mill:
        mill.crash("a")
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == "B"
        assert calls.count("a") == 2


def test_a_parent_that_dies_after_it_has_started_its_child(serve):
    app = App("shop")

    @app.function()
    def child(ctx: Context) -> int:
        return ctx.step.run("x", lambda: 5)

    @app.function(on="go")
    def parent(ctx: Context) -> int:
        return ctx.step.invoke("child", child)

    with serve(app) as mill:
        mill.crash("x")
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == 5
        assert len(mill.runs("shop.child")) == 1


def test_a_crash_is_named_in_one_way_or_the_other(serve):
    with serve(App("shop")) as mill:
        with pytest.raises(ValueError, match="give the step"):
            mill.crash()
        with pytest.raises(ValueError, match="give the step"):
            mill.crash("a", after="b")
