"""Context variables: every execution begins with none set, and a step sees what the code had set where it called it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from tidemill import App, AsyncContext, Context

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def shifts(name: str) -> str:
    """What was set where the step was called; and a setting that must stay inside."""
    found = tenant.get()
    tenant.set(name)
    return found


async def ashifts(name: str) -> str:
    return shifts(name)


def test_nothing_passes_from_run_to_run_or_from_replay_to_replay(serve):
    app, seen = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> None:
        seen.append(tenant.get())
        tenant.set(ctx.event.data["tenant"])
        ctx.step.run("a", lambda: None)
        ctx.step.sleep("nap", "1h")
        seen.append(tenant.get() == ctx.event.data["tenant"])

    @app.function(on="go")
    async def other(ctx: AsyncContext) -> None:
        seen.append(tenant.get())
        tenant.set(ctx.event.data["tenant"])
        await ctx.step.run("a", lambda: None)
        await ctx.step.sleep("nap", "1h")
        seen.append(tenant.get() == ctx.event.data["tenant"])

    token = tenant.set("of the test")
    try:
        with serve(app) as mill:
            mill.send("go", {"tenant": "t1"})
            mill.send("go", {"tenant": "t2"})
            mill.advance("1h")
            assert {run.status for run in mill.runs()} == {"completed"}
    finally:
        tenant.reset(token)
    assert set(seen) == {"nobody", True}


def test_a_step_sees_what_the_code_had_set_and_sets_nothing_outside(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> dict[str, object]:
        tenant.set("trunk")

        def branch(name: str):
            def call() -> list[str]:
                before = tenant.get()
                tenant.set(name)
                return [before, ctx.step.run(name, shifts, "x"), tenant.get()]

            return call

        found: dict[str, object] = {
            "plain": ctx.step.run("plain", shifts, "x"),
            "timed": ctx.step.options(timeout="1m").run("timed", shifts, "x"),
            "parallel": ctx.step.parallel(branch("b0"), branch("b1")),
            "map": ctx.step.map("map", shifts, ["m0", "m1"]),
        }
        return {**found, "after": tenant.get()}

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == {
            "plain": "trunk",
            "timed": "trunk",
            "parallel": [["trunk", "b0", "b0"], ["trunk", "b1", "b1"]],
            "map": ["trunk", "trunk"],
            "after": "trunk",
        }


@pytest.mark.parametrize("step", [shifts, ashifts])
def test_the_same_in_async_code(serve, step):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> dict[str, object]:
        tenant.set("trunk")

        async def branch(name: str) -> list[str]:
            before = tenant.get()
            tenant.set(name)
            return [before, await ctx.step.run(name, step, "x"), tenant.get()]

        found: dict[str, object] = {
            "plain": await ctx.step.run("plain", step, "x"),
            "timed": await ctx.step.options(timeout="1m").run("timed", step, "x"),
            "gather": await asyncio.gather(branch("g0"), branch("g1")),
            "parallel": await ctx.step.parallel(lambda: branch("b0"), lambda: branch("b1")),
            "map": await ctx.step.map("map", step, ["m0", "m1"]),
            "lambda": await ctx.step.run("lambda", lambda: step("x")),
        }
        return {**found, "after": tenant.get()}

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == {
            "plain": "trunk",
            "timed": "trunk",
            "gather": [["trunk", "g0", "g0"], ["trunk", "g1", "g1"]],
            "parallel": [["trunk", "b0", "b0"], ["trunk", "b1", "b1"]],
            "map": ["trunk", "trunk"],
            "lambda": "trunk",
            "after": "trunk",
        }
