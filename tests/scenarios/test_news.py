"""A branch that waits goes on when its event comes, also while a step of another branch is at work."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context, ids
from tidemill.engine.drive import live
from tidemill.engine.drive.drive import drive
from tidemill.engine.intake import receive
from tidemill.model import Event
from tidemill.testing import Mill
from tidemill_local.testing import machine


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_branch_goes_on_while_another_one_works(monkeypatch, asynchronous):
    monkeypatch.setattr(live, "NEWS", 0.01)
    one = threading.Lock()  # one call of the keeper at a time, as over a connection
    monkeypatch.setattr(machine, "drive", lambda *args, **given: drive(*args, **{**given, "threads": True}))
    app, came, worlds = App("shop"), threading.Event(), []

    def send_and_wait() -> bool:
        """What an outsider does while this step is at work; the step ends once the other branch has gone on."""
        world = worlds[0]
        now = world.clock.now()
        with one:
            receive.receive(world, Event(ids.derived("call"), "call", {}, now, now))
        return came.wait(30)

    if asynchronous:

        @app.function(on="go")
        async def tasks(ctx: AsyncContext) -> list[Any]:
            async def waits() -> str:
                found = await ctx.step.wait_for_event("call", "call")
                await ctx.step.run("tell", came.set)
                return found.name

            return list(await asyncio.gather(waits(), ctx.step.run("work", send_and_wait)))

    else:

        @app.function(on="go")
        def branches(ctx: Context) -> list[Any]:
            def waits() -> str:
                found = ctx.step.wait_for_event("call", "call")
                ctx.step.run("tell", came.set)
                return found.name

            return ctx.step.parallel(waits, lambda: ctx.step.run("work", send_and_wait))

    with Mill(app) as mill:
        worlds.append(mill._machine.world)
        keeper: Any = machine._Keeper
        for name in ("append", "wait", "journal"):
            monkeypatch.setattr(keeper, name, one_at_a_time(one, getattr(keeper, name)))
        assert mill.send("go").run().output == ["call", True]


def one_at_a_time(lock: threading.Lock, method: Any) -> Any:
    def ask(*args: Any) -> Any:
        with lock:
            return method(*args)

    return ask
