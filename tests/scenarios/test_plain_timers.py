"""A plain `asyncio.sleep` that races a step: what the journal can tell again, and what it cannot (decision 0017).

The clock of the code is in no record. Where the way that the race led to is in none either before the step's outcome
is, a replay has that outcome before its timer: the other one wins. A `Mill` notices that by the steps that are missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from tidemill import App, AsyncContext


async def slow() -> str:
    await asyncio.sleep(0.05)
    return "slow"


async def won_by(step: Awaitable[str], seconds: float = 0.01) -> str:
    timer = asyncio.ensure_future(asyncio.sleep(seconds))
    done, _ = await asyncio.wait({step, timer}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
    return "timer" if timer in done else "step"


def racing(app: App, how: str) -> list[str]:
    """The winners, execution after execution."""
    winners: list[str] = []

    @app.function(on="go")
    async def race(ctx: AsyncContext) -> str:
        step = asyncio.ensure_future(ctx.step.run("slow", slow))
        if how == "a durable timer":
            nap = asyncio.ensure_future(ctx.step.sleep("timer", 0.01))
            done, _ = await asyncio.wait({step, nap}, return_when=asyncio.FIRST_COMPLETED)
            winner = "timer" if nap in done else "step"
        else:
            winner = await won_by(step)
        if how == "noted at once":
            winner = await ctx.step.run("winner", lambda: winner)
        winners.append(winner)
        await step
        if how == "another way":
            await ctx.step.run(f"after the {winner}", lambda: None)
        await ctx.step.sleep("nap", "1h")
        return winner

    return winners


@pytest.mark.parametrize("how", ["noted at once", "a durable timer"])
def test_a_race_that_is_remembered_has_one_winner(serve, how):
    app = App("shop")
    winners = racing(app, how)
    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == winners[0]
        assert set(winners) == {winners[0]}


def test_a_race_that_is_not_remembered_and_leads_another_way_is_noticed(serve):
    app = App("shop")
    racing(app, "another way")
    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert (run.status, run.error.type) == ("failed", "NonDeterministicError")
        assert "passes by step 'after the timer'" in run.error.message


def test_a_race_that_is_not_remembered_and_leads_nowhere_may_have_another_winner(serve):
    app = App("shop")
    winners = racing(app, "only in a variable")
    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.status == "completed"
        assert (winners[0], winners[-1]) == ("timer", "step"), (
            "see docs/guides/branches.md: what is to last is a step's"
        )
