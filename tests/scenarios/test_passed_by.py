"""A remembered step that a replay passes by without reaching it: an error in a Mill, with the step's name."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tidemill import App, AsyncContext, Context, NonRetriableError
from tidemill.testing import Mill

HERE = "test_passed_by.py:"


def wrong(run) -> str:
    assert (run.status, run.error.type, run.attempt) == ("failed", "NonDeterministicError", 1)
    return run.error.message


def test_a_step_whose_id_is_left_to_chance_is_not_done_twice(serve):
    app, numbers, charged = App("shop"), itertools.count(), []

    @app.function(on="go")
    def pay(ctx: Context) -> str:
        ctx.step.run(f"charge {next(numbers)}", charged.append, 1)
        ctx.step.sleep("cool down", "1h")
        return "paid"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        message = wrong(run)
        assert "step 'charge 0' (run)" in message
        assert "goes on with step 'charge 1'" in message
        assert HERE in message
        assert "docs/concepts/determinism.md" in message
        assert charged == [1]


def test_the_same_in_async_code(serve):
    app, numbers, charged = App("shop"), itertools.count(), []

    @app.function(on="go")
    async def pay(ctx: AsyncContext) -> str:
        await ctx.step.run(f"charge {next(numbers)}", charged.append, 1)
        await ctx.step.sleep("cool down", "1h")
        return "paid"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        message = wrong(run)
        assert "step 'charge 0' (run)" in message
        assert HERE in message
        assert charged == [1]


def test_tasks_say_where_they_were_made(serve):
    app, numbers, charged = App("shop"), itertools.count(), []

    @app.function(on="go")
    async def pay(ctx: AsyncContext) -> None:
        number = next(numbers)
        await asyncio.gather(*(ctx.step.run(f"charge {number} {each}", charged.append, each) for each in "ab"))
        await ctx.step.sleep("cool down", "1h")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        message = wrong(run)
        assert "step 'charge 0 a' (run)" in message
        assert HERE in message
        assert len(charged) <= 2


def test_code_that_ends_without_its_step(serve):
    app, starts = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> str:
        starts.append(1)
        if len(starts) == 1:
            ctx.step.sleep("nap", "1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        message = wrong(run)
        assert "step 'nap' (sleep)" in message
        assert "comes to its end" in message


def test_async_code_that_ends_without_its_wait(serve):
    app, starts = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        starts.append(1)
        if len(starts) == 1:
            await ctx.step.wait_for_event("answer", "answered", timeout="1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert "step 'answer' (wait)" in wrong(run)


def test_an_except_in_the_code_changes_nothing(serve):
    app, numbers = App("shop"), itertools.count()

    @app.function(on="go")
    def pay(ctx: Context) -> str:
        try:
            ctx.step.run(f"charge {next(numbers)}", lambda: 1)
        except Exception:
            return "swallowed"
        ctx.step.sleep("cool down", "1h")
        return "paid"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        wrong(run)


def test_a_branch_that_passes_its_step_by(serve):
    app, numbers, done = App("shop"), itertools.count(), []

    @app.function(on="go")
    def work(ctx: Context) -> None:
        number = next(numbers)

        def left() -> None:
            ctx.step.run(f"left {number}", done.append, "left")
            ctx.step.sleep("nap", "1h")

        def right() -> None:
            ctx.step.run("right", done.append, "right")
            ctx.step.sleep("rest", "1h")

        ctx.step.parallel(left, right)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert "left 0" in wrong(run)
        assert sorted(done) in (["left"], ["left", "right"])


def test_replays_show_it_though_nothing_sleeps():
    app, numbers = App("shop"), itertools.count()

    @app.function(on="go")
    def pay(ctx: Context) -> None:
        ctx.step.run(f"charge {next(numbers)}", lambda: 1)
        ctx.step.run("mail", lambda: 2)

    with Mill(app) as mill:
        assert mill.send("go").run().status == "completed"
    with Mill(app, replays=True) as mill:
        assert "charge" in wrong(mill.send("go").run())


# What a replay leaves out with good reason.


def test_another_attempt_of_the_code_may_go_another_way(serve):
    app = App("shop")

    @app.function(on="go", retries=1, backoff=1)
    def work(ctx: Context) -> str:
        if ctx.attempt == 1:
            ctx.step.run("first way", lambda: 1)
            raise ValueError("that was nothing")
        ctx.step.run("second way", lambda: 2)
        ctx.step.sleep("nap", "1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == "done"


def test_a_step_that_is_refused_leaves_no_record_and_the_code_may_go_on(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> str:
        for id, call in (("child", lambda: ctx.step.invoke("child", "no-such")), ("nap", lambda: naps(ctx))):
            try:
                call()
            except NonRetriableError:
                ctx.step.run(f"without {id}", lambda: 1)
        ctx.step.sleep("rest", "1h")
        ctx.step.run("end", lambda: 1)
        return "done"

    def naps(ctx: Context) -> None:
        ctx.step.sleep("nap", "400d")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == "done"


def test_races_that_were_lost_and_timeouts(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        slow = asyncio.ensure_future(ctx.step.wait_for_event("answer", "answered"))
        nap = asyncio.ensure_future(ctx.step.sleep("nap", "1h"))
        await asyncio.wait([slow, nap], return_when=asyncio.FIRST_COMPLETED)
        slow.cancel()
        await ctx.step.run("remind", lambda: 1)
        await ctx.step.sleep("rest", "1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("3h")
        assert run.output == "done"


def test_a_step_that_was_handed_over_unbegun_and_then_lost_its_race():
    """The timer led to `left` before it lost: the run was handed over there, and `left` has done nothing."""
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        async def left() -> None:
            try:
                async with asyncio.timeout(0.001):
                    await ctx.step.run("slow", asyncio.sleep, 0.05)
            except TimeoutError:
                await ctx.step.run("left", lambda: 1)

        branches = [asyncio.ensure_future(each) for each in (left(), ctx.step.run("right", lambda: 2))]
        _, losers = await asyncio.wait(branches, return_when=asyncio.FIRST_COMPLETED)
        for each in losers:
            each.cancel()
        return await ctx.step.run("winner", lambda: "right" if branches[0] in losers else "left")

    with Mill(app, replays=True) as mill:
        assert mill.send("go").run().output == "right"


def test_other_code_after_a_reload_is_a_warning(serve):
    def version(*ids: str) -> App:
        app = App("shop")

        @app.function(on="go")
        def work(ctx: Context) -> str:
            for id in ids:
                ctx.step.run(id, lambda: 1)
            ctx.step.sleep("nap", "1h")
            return "done"

        return app

    with serve(version("old", "same")) as mill:
        run = mill.send("go").run()
        mill.reload(version("new", "same"))
        with pytest.warns(UserWarning, match="step 'old'") as told:
            mill.advance("2h")
        assert run.output == "done"
        assert len(told) == 1
