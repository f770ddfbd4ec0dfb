"""Async code that awaits what can never come fails its run, and is told where it stands."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tidemill import App, AsyncContext


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.engine.drive.aio.deadlock.ALONE", 0.02)


def test_an_event_that_nobody_sets(serve):
    app, starts = App("shop"), []

    @app.function(on="go", retries=4)
    async def work(ctx: AsyncContext) -> None:
        starts.append(1)
        await ctx.step.run("a", lambda: 1)
        await asyncio.Event().wait()

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.error.type, run.attempt) == ("failed", "DeadlockError", 1)
        assert "work at " in run.error.message
        assert "test_deadlock.py:" in run.error.message
        assert "(await asyncio.Event().wait())" in run.error.message


def test_a_lock_that_is_held_though_the_code_swallows_being_cancelled(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        lock = asyncio.Lock()
        await lock.acquire()
        try:
            await lock.acquire()
        except asyncio.CancelledError:
            return "went on"
        return "never"

    with serve(app) as mill:
        assert mill.send("go").run().error.type == "DeadlockError"


def test_tasks_are_named_one_by_one(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        async def left() -> None:
            await asyncio.Event().wait()

        async def right() -> None:
            await asyncio.Queue().get()

        await asyncio.gather(left(), right())

    with serve(app) as mill:
        message = mill.send("go").run().error.message
        assert "left at " in message
        assert "(await asyncio.Queue().get())" in message


def test_threads_are_waited_for(serve):
    app, go = App("shop"), threading.Event()

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[str]:
        loop, own = asyncio.get_running_loop(), asyncio.Event()
        threading.Timer(0.1, loop.call_soon_threadsafe, (own.set,)).start()
        await own.wait()
        threading.Timer(0.1, go.set).start()
        await asyncio.to_thread(go.wait)
        return [await ctx.step.run("a", lambda: "a")]

    with serve(app) as mill:
        assert mill.send("go").run().output == ["a"]


def test_a_blocked_step_is_no_deadlock(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        done = asyncio.Event()

        async def nap() -> None:
            await ctx.step.sleep("nap", "1h")
            done.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nap())
            await done.wait()
        return "rested"

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "sleeping"
        mill.advance("1h")
        assert run.output == "rested"
