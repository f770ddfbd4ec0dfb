"""Steps that async code gives up: nobody waits for their threads, and what they return is dropped."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from tidemill import App, AsyncContext, NonRetriableError, StepError
from tidemill.testing import Mill


def abandons(how: str, hold: threading.Event) -> App:
    app = App("shop")

    async def race(ctx: AsyncContext) -> None:
        tasks = [asyncio.ensure_future(ctx.step.run("hangs", hold.wait, 600)), asyncio.create_task(quick(ctx))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def quick(ctx: AsyncContext) -> None:
        await ctx.step.run("quick", lambda: 1)

    async def failed(ctx: AsyncContext) -> None:
        def no() -> None:
            raise NonRetriableError("no")

        try:
            await asyncio.gather(ctx.step.run("hangs", hold.wait, 600), ctx.step.run("fails", no))
        except StepError:
            return

    async def late(ctx: AsyncContext) -> None:
        try:
            async with asyncio.timeout(0.05):
                await ctx.step.run("hangs", hold.wait, 600)
        except TimeoutError:
            await ctx.step.run("noted", lambda: 1)

    async def beside(ctx: AsyncContext) -> None:
        task = asyncio.ensure_future(asyncio.to_thread(hold.wait, 600))
        await quick(ctx)
        task.cancel()

    ways = {"first completed": race, "a failed gather": failed, "a timeout": late, "a thread of its own": beside}

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        await ways[how](ctx)
        return "done"

    return app


@pytest.mark.parametrize("how", ["first completed", "a failed gather", "a timeout", "a thread of its own"])
def test_a_run_ends_while_a_step_that_it_gave_up_still_works(how):
    hold = threading.Event()
    try:
        with Mill(abandons(how, hold)) as mill:
            began = time.monotonic()
            run = mill.send("go").run()
            assert run.output == "done"
            assert time.monotonic() - began < 300
            records = len(run.journal)
            hold.set()
            mill.advance("1s")
            assert len(run.journal) == records, "what comes late is dropped"
            assert "hangs" not in {step.id for step in run.steps if step.status == "completed"}
    finally:
        hold.set()


def test_a_plain_step_of_an_async_function_may_run_a_loop_of_its_own(serve):
    app = App("shop")

    async def inner() -> str:
        return "inner"

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> list[object]:
        alone = await ctx.step.run("alone", lambda: asyncio.run(inner()))
        thread = await ctx.step.run("thread", lambda: threading.current_thread() is threading.main_thread())
        return [alone, thread]

    with serve(app) as mill:
        assert mill.send("go").run().output == ["inner", False]


def test_more_plain_steps_than_threads_take_turns():
    app, at_work, most = App("shop"), [], []
    lock, meeting = threading.Lock(), threading.Barrier(2)

    def busy(n: int) -> int:
        with lock:
            at_work.append(n)
            most.append(len(at_work))
        meeting.wait(120)
        with lock:
            at_work.remove(n)
        return n

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> int:
        return sum(await asyncio.gather(*(ctx.step.run(str(n), busy, n) for n in range(100))))

    with Mill(app) as mill:
        assert mill.send("go").run().output == sum(range(100))
        assert 2 <= max(most) <= 32


def test_steps_that_hang_keep_no_other_from_its_turn():
    app, hold = App("shop"), threading.Event()

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> list[str]:
        hung = [ctx.step.options(timeout=0.05).run(f"hangs {n}", hold.wait, 600) for n in range(40)]
        found = await asyncio.gather(*hung, return_exceptions=True)
        return [*{type(each).__name__ for each in found}, await ctx.step.run("last", lambda: "last")]

    try:
        with Mill(app) as mill:
            assert mill.send("go").run().output == ["StepTimeoutError", "last"]
    finally:
        hold.set()


@pytest.mark.parametrize("error", [StopIteration("x"), GeneratorExit(), asyncio.CancelledError()])
def test_what_no_loop_can_carry_fails_the_step(serve, error):
    app = App("shop")

    def fails() -> None:
        raise error

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> str:
        try:
            await ctx.step.run("x", fails)
        except StepError as caught:
            return caught.message
        return "?"

    with serve(app) as mill:
        assert type(error).__name__ in mill.send("go").run().output
