"""`ctx.logger`: every line once for each attempt that reached it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

import pytest

from tidemill import App, AsyncContext, Context


@pytest.fixture
def lines(caplog):
    with caplog.at_level(logging.INFO, logger="tidemill"):
        yield lambda: Counter(record.getMessage() for record in caplog.records)


def test_around_a_map_and_in_it(serve, lines):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        def double(n: int) -> int:
            ctx.logger.info("item %s", n)
            return 2 * n

        ctx.logger.info("before")
        found = ctx.step.map("double", double, [1, 2, 3])
        ctx.logger.info("after")
        ctx.step.sleep("nap", "1h")
        ctx.logger.info("end")
        return found

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == [2, 4, 6]
    assert lines() == {"before": 1, "item 1": 1, "item 2": 1, "item 3": 1, "after": 1, "end": 1}


def test_around_a_step_tried_three_times_and_in_it(serve, lines):
    app, tries = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> None:
        def flaky() -> None:
            ctx.logger.info("attempt %s", ctx.attempt)
            tries.append(1)
            if len(tries) < 3:
                raise ConnectionError

        ctx.logger.info("before")
        ctx.step.run("flaky", flaky)
        ctx.logger.info("after")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.status == "completed"
    assert lines() == {"before": 1, "attempt 1": 1, "attempt 2": 1, "attempt 3": 1, "after": 1}


def test_in_branches(serve, lines):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        def branch(name: str, hours: int):
            def call() -> None:
                ctx.logger.info("%s begins", name)
                ctx.step.run(f"{name} 1", lambda: ctx.logger.info("%s in a step", name))
                ctx.logger.info("%s has a step", name)
                ctx.step.sleep(f"{name} nap", hours * 3_600)
                ctx.logger.info("%s has slept", name)
                ctx.step.wait_for_event(f"{name} call", name, timeout="1d")
                ctx.logger.info("%s ends", name)

            return call

        ctx.logger.info("trunk begins")
        ctx.step.parallel(branch("a", 3), branch("b", 1), branch("c", 2))
        ctx.logger.info("trunk ends")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        mill.send("b")
        mill.advance("2h")
        mill.send("a")
        mill.send("c")
        assert run.status == "completed"
    said = ("begins", "in a step", "has a step", "has slept", "ends")
    assert lines() == {f"{name} {what}": 1 for name in "abc" for what in said} | {"trunk begins": 1, "trunk ends": 1}


def test_in_tasks(serve, lines):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        async def task(name: str, hours: int) -> None:
            ctx.logger.info("%s begins", name)
            await ctx.step.sleep(f"{name} nap", hours * 3_600)
            ctx.logger.info("%s has slept", name)
            await ctx.step.run(f"{name} 1", lambda: ctx.logger.info("%s in a step", name))
            ctx.logger.info("%s ends", name)

        await asyncio.gather(task("a", 3), task("b", 1), task("c", 2))
        ctx.logger.info("trunk ends")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("4h")
        assert run.status == "completed"
    said = ("begins", "has slept", "in a step", "ends")
    assert lines() == {f"{name} {what}": 1 for name in "abc" for what in said} | {"trunk ends": 1}


def test_once_for_each_attempt_of_the_function(serve, lines):
    app, tries = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.logger.info("before")
        ctx.step.run("a", lambda: None)
        ctx.logger.info("attempt %s", ctx.attempt)
        tries.append(1)
        if ctx.attempt < 3:
            raise ConnectionError

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1d")
        assert run.status == "completed"
    assert lines() == {"before": 1, "attempt 1": 1, "attempt 2": 1, "attempt 3": 1}


def test_what_is_said_while_the_code_is_left_was_not_reached(serve, lines):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        try:
            ctx.step.sleep("nap", "1h")
            ctx.step.sleep("another", "1h")
        finally:
            ctx.logger.info("in the end")

    @app.function(on="go")
    def branches(ctx: Context) -> None:
        def sleeps() -> None:
            try:
                ctx.step.sleep("nap", "1h")
            finally:
                ctx.logger.info("branch ends")

        ctx.step.parallel(sleeps, lambda: ctx.step.sleep("other", "2h"))

    with serve(app) as mill:
        mill.send("go")
        mill.advance("3h")
        assert {run.status for run in mill.runs()} == {"completed"}
    assert lines() == {"in the end": 1, "branch ends": 1}


def test_a_step_that_a_reload_has_removed_silences_nothing(serve, lines):
    def app(*names: str) -> App:
        app = App("shop")

        @app.function(on="go")
        def work(ctx: Context) -> None:
            for name in names:
                ctx.step.run(name, lambda: None)
            ctx.step.sleep("nap", "1h")
            ctx.step.run("new", lambda: None)
            ctx.logger.info("end")

        return app

    with serve(app("a", "b")) as mill:
        run = mill.send("go").run()
        mill.reload(app("a"))
        with pytest.warns(UserWarning, match="passes by step 'b'"):
            mill.advance("1h")
        assert run.status == "completed"
    assert lines() == {"end": 1}
