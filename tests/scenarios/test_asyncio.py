"""asyncio's own tools over steps."""

from __future__ import annotations

import asyncio

from tidemill import App, AsyncContext, NonRetriableError, StepError


async def nap_then(ctx: AsyncContext, name: str, hours: int) -> str:
    await ctx.step.sleep(f"{name} nap", hours * 3_600)
    return await ctx.step.run(name, lambda: name)


def test_gather(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list:
        found = await asyncio.gather(nap_then(ctx, "a", 2), nap_then(ctx, "b", 1), ctx.step.run("c", lambda: "c"))
        return [*found, await ctx.step.run("d", lambda: "d")]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.step("b").status == "completed"
        assert run.status == "sleeping"
        mill.advance("1h")
        assert run.output == ["a", "b", "c", "d"]


def test_a_task_group_and_its_failure(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(nap_then(ctx, name, 1)) for name in "ab"]
        return [task.result() for task in tasks]

    @app.function(on="fail", retries=4)
    async def fails(ctx: AsyncContext) -> None:
        def no() -> None:
            raise NonRetriableError("no")

        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step.run("bad", no))
            group.create_task(ctx.step.run("good", lambda: 1))

    with serve(app) as mill:
        run, bad = mill.send("go").run(), mill.send("fail").run()
        mill.advance("1h")
        assert run.output == ["a", "b"]
        assert (bad.status, bad.error.message, bad.error.step_id, bad.attempt) == ("failed", "no", "bad", 1)


def test_first_completed_goes_on_without_the_rest(serve):
    app = App("shop")

    @app.function(on="go")
    async def race(ctx: AsyncContext) -> str:
        async def call() -> str:
            found = await ctx.step.wait_for_event("call", "call")
            return "called" if found else "?"

        async def give_up() -> str:
            await ctx.step.sleep("patience", "1h")
            return "gave up"

        tasks = [asyncio.ensure_future(call()), asyncio.ensure_future(give_up())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        result = done.pop().result()
        return await ctx.step.run("note", lambda: result)

    with serve(app) as mill:
        one, two = mill.send("go").run(), None
        mill.send("call")
        assert one.output == "called"
        two = mill.send("go").run()
        mill.advance("1h")
        assert two.output == "gave up"
        assert one.output == "called"


def test_a_race_has_the_same_winner_in_every_replay(serve):
    """By the second replay the journal knows the end of the loser, too."""
    app, winners = App("shop"), []

    @app.function(on="go")
    async def race(ctx: AsyncContext) -> list:
        async def call() -> str:
            await ctx.step.wait_for_event("call", "call")
            return "called"

        async def patience() -> str:
            await ctx.step.sleep("patience", "1h")
            return "gave up"

        tasks = [asyncio.ensure_future(call()), asyncio.ensure_future(patience())]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        won = sorted(task.result() for task in done)
        winners.append(won)
        noted = await ctx.step.run("note", lambda: won)
        await ctx.step.sleep("after", "10h")
        return [noted, won]

    with serve(app) as mill:
        late, early = mill.send("go").run(), mill.send("go").run()
        mill.advance("1h")
        assert {late.step("note").output[0], early.step("note").output[0]} == {"gave up"}
        mill.send("call")
        called = mill.send("go").run()
        mill.send("call")
        assert called.step("note").output == ["called"]
        mill.advance("20h")
        assert late.output == early.output == [["gave up"], ["gave up"]]
        assert called.output == [["called"], ["called"]]
        assert {len(won) for won in winners} == {1}


def test_a_task_group_whose_step_failed_is_left_the_same_way_in_every_replay(serve):
    """What the failure cancelled the first time is cancelled again, and not begun anew by a replay."""
    app, ran = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        def bad() -> None:
            raise NonRetriableError("no")

        async def good() -> None:
            ran.append(1)
            await asyncio.sleep(0.05)

        said = "fine"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.step.run("bad", bad))
                group.create_task(ctx.step.run("good", good))
        except* StepError:
            said = "failed"
        for _ in range(3):
            await ctx.step.sleep("nap", "1h")
        return said

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("5h")
        assert run.output == "failed"
        assert len(ran) <= 1


def test_a_timeout_of_asyncios_own_over_work_in_a_step(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> str:
        async def slow() -> None:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(600)

        try:
            await ctx.step.run("slow", slow)
        except StepError as error:
            return error.type
        return "?"

    with serve(app) as mill:
        assert mill.send("go").run().output == "TimeoutError"


def test_plain_functions_run_in_threads_beside_each_other(serve):
    import threading

    app, both = App("shop"), threading.Barrier(2, timeout=120)

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> int:
        await asyncio.gather(ctx.step.run("a", both.wait), ctx.step.run("b", both.wait))
        return 1

    with serve(app) as mill:
        if mill._machine._restless:
            return  # one step at a time is just what it is for
        assert mill.send("go").run().output == 1


def test_awaiting_between_steps(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> int:
        total = 0
        for n in range(3):
            total += await ctx.step.run("n", lambda n=n: n)
            await asyncio.sleep(0)
        return total

    with serve(app) as mill:
        assert mill.send("go").run().output == 3


def test_in_an_async_test(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        return await ctx.step.run("a", lambda: "A")

    async def story() -> None:
        with serve(app) as mill:
            run = mill.send("go").run()
            assert run.output == "A"
            await app.asend("go")
            assert [r.output for r in mill.runs()] == ["A", "A"]

    asyncio.run(story())
