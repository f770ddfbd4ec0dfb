"""Errors that derive from BaseException: the run's own fail it, by their names; what ends a test passes through."""

from __future__ import annotations

import asyncio

import pytest

from tidemill import App, AsyncContext, Context

EVERYWHERE = [
    "step",
    "between",
    "async step",
    "plain step",
    "async between",
    "swallowed",
    "branch",
    "item",
    "async item",
]


class Halt(BaseException):
    pass


def raises(error: type[BaseException] | BaseException) -> None:
    raise error


def apps(error: type[BaseException] | BaseException) -> App:
    app = App("shop")

    @app.function(on="step", retries=0)
    def in_a_step(ctx: Context) -> None:
        ctx.step.run("a", raises, error)

    @app.function(on="between", retries=0)
    def between(ctx: Context) -> None:
        raise error

    @app.function(on="async step", retries=0)
    async def in_an_async_step(ctx: AsyncContext) -> None:
        async def body() -> None:
            raise error

        await ctx.step.run("a", body)

    @app.function(on="plain step", retries=0)
    async def in_a_plain_step(ctx: AsyncContext) -> None:
        await ctx.step.run("a", raises, error)

    @app.function(on="swallowed", retries=0)
    async def swallowed(ctx: AsyncContext) -> None:
        await asyncio.gather(ctx.step.run("a", raises, error), ctx.step.sleep("b", "1h"), return_exceptions=True)

    @app.function(on="branch", retries=0)
    def branch(ctx: Context) -> None:
        ctx.step.parallel(lambda: ctx.step.run("a", raises, error), lambda: ctx.step.run("b", lambda: 1))

    @app.function(on="item", retries=0)
    def item(ctx: Context) -> None:
        ctx.step.map("a", lambda _: raises(error), [1, 2])

    @app.function(on="async item", retries=0)
    async def async_item(ctx: AsyncContext) -> None:
        await ctx.step.map("a", lambda _: raises(error), [1, 2])

    @app.function(on="async between", retries=0)
    async def async_between(ctx: AsyncContext) -> None:
        raise error

    @app.function(on="group", retries=0)
    async def group(ctx: AsyncContext) -> None:
        async def body() -> None:
            await asyncio.sleep(0)
            raise error

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(body())

    return app


@pytest.mark.parametrize("name", ["step", "between", "async step", "plain step", "async between"])
def test_the_codes_own_fail_the_run(serve, name):
    with serve(apps(Halt("no more"))) as mill:
        run = mill.send(name).run()
        assert (run.status, run.error.type, run.error.message) == ("failed", "Halt", "no more")
        assert run.error.step_id == ("a" if "step" in name else None)


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception]
)
def test_what_ends_the_test_passes(serve, name, kind):
    with pytest.raises(kind), serve(apps(kind("enough"))) as mill:
        mill.send(name)


def test_groups_are_judged_by_what_is_in_them(serve):
    with serve(apps(Halt("no more"))) as mill:
        assert mill.send("group").run().status == "failed"
    with pytest.raises(BaseExceptionGroup) as caught, serve(apps(pytest.fail.Exception("enough"))) as mill:
        mill.send("group")
    assert isinstance(caught.value.exceptions[0], pytest.fail.Exception)


@pytest.mark.parametrize("name", ["step", "plain step", "async between"])
def test_an_exit_is_honored_and_not_tried_again(serve, name):
    with serve(apps(pytest.exit.Exception("all of it", 7))) as mill, pytest.raises(pytest.exit.Exception) as caught:
        mill.send(name)
    assert caught.value.returncode == 7
