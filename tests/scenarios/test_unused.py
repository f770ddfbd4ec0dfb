"""Code that does not use what `ctx.step` gave it: the run fails, and says which step and where."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context, Wait

HERE = __file__


def line_of(fn: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(fn)
    return first + next(number for number, line in enumerate(lines) if text in line)


def test_a_forgotten_await_fails_the_run(serve):
    app, ran = App("shop"), []

    @app.function(on="go", retries=3)
    async def work(ctx: AsyncContext) -> str:
        found = ctx.step.run("charge", ran.append, 1)
        await ctx.step.sleep("nap", "1h")
        return type(found).__name__

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert (run.status, run.attempt, ran) == ("failed", 1, [])
        assert f"step 'charge' at {HERE}:{line_of(work.fn, 'charge')}" in run.error.message
        assert "never awaited" in run.error.message


FORGOTTEN = {
    "run": lambda ctx: ctx.step.run("a", len, ""),
    "options": lambda ctx: ctx.step.options(retries=0).run("a", len, ""),
    "sleep": lambda ctx: ctx.step.sleep("a", "1h"),
    "sleep_until": lambda ctx: ctx.step.sleep_until("a", "2090-01-01"),
    "wait_for_event": lambda ctx: ctx.step.wait_for_event("a", "b"),
    "wait_for_any": lambda ctx: ctx.step.wait_for_any("a", {"x": Wait("b")}),
    "wait_for_signal": lambda ctx: ctx.step.wait_for_signal("a", "b"),
    "invoke": lambda ctx: ctx.step.invoke("a", "shop.work"),
    "send_event": lambda ctx: ctx.step.send_event("a", {"name": "b"}),
    "map": lambda ctx: ctx.step.map("a", len, ["x"]),
    "parallel": lambda ctx: ctx.step.parallel(lambda: ctx.step.run("a", len, "")),
}


@pytest.mark.parametrize("word", FORGOTTEN)
def test_each_word_that_is_forgotten(serve, word: str):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        FORGOTTEN[word](ctx)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert ("step.parallel" if word == "parallel" else "step 'a'") in run.error.message


def test_a_coroutine_that_is_the_output(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> Any:
        return ctx.step.run("a", len, "")

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "never awaited" in run.error.message


def test_many_that_are_forgotten_are_named_and_counted(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        for number in range(200):
            await ctx.step.run("done", len, "") if number % 2 else ctx.step.run(f"{number}", len, "")

    with serve(app) as mill:
        error = mill.send("go").run().error
        assert "step '0'" in error.message
        assert "and 97 more" in error.message


def test_steps_that_code_gave_up_on_purpose_are_used(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        first = ctx.step.run("later", str, 1)  # made here, awaited after another step
        ctx.step.run("closed", str, 2).close()
        await ctx.step.run("before", len, "")

        async def slow() -> None:
            ahead = ctx.step.run("never", len, "")
            await ctx.step.sleep("long", "9d")
            await ahead

        race = [asyncio.create_task(slow()), asyncio.create_task(ctx.step.sleep("short", "1h"))]
        await asyncio.wait(race, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ctx.step.run("no time", len, ""), 0)
        asyncio.create_task(ctx.step.run("scheduled", len, ""))  # noqa: RUF006
        return await first

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert (run.status, run.output) == ("completed", "1")


def test_the_error_of_the_code_itself_comes_first(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> None:
        ctx.step.run("a", len, "")
        raise ValueError("mine")

    with serve(app) as mill:
        assert mill.send("go").run().error.message == "mine"


def test_a_step_in_a_thread_of_the_users_own_fails_the_run(serve):
    app, ran = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> str:
        with ThreadPoolExecutor() as pool:
            pool.submit(ctx.step.run, "charge", ran.append, 1)
        return "done"

    @app.function(on="async")
    async def also(ctx: AsyncContext) -> str:
        def call() -> None:
            try:
                ctx.step.sleep("nap", "1h")
            except Exception as error:
                ran.append(type(error).__name__)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, ran) == ("failed", [])
        assert "step 'charge' is called at" in run.error.message
        run = mill.send("async").run()
        assert (run.status, set(ran)) == ("failed", {"NonRetriableError"})
        assert f"step 'nap' is called at {HERE}:{line_of(also.fn, 'nap')}" in run.error.message
