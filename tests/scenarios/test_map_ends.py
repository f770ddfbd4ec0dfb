"""A map stops with its run, and what it began is known from the journal. An item that rests keeps nobody waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context
from tidemill.errors import NonRetriableError, RetryAfterError
from tidemill.testing import Mill

ITEMS = list(range(60))


def shop(seen: list[int]) -> App:
    app = App("shop")

    def each(item: int) -> int:
        seen.append(item)
        return item

    def fails() -> None:
        raise NonRetriableError("the sibling has failed")

    @app.function(on="fails-beside")
    async def fails_beside(ctx: AsyncContext) -> None:
        await asyncio.gather(
            ctx.step.map("each", each, ITEMS, max_concurrency=2),
            ctx.step.run("fails", fails),
        )

    @app.function(on="leaves-behind")
    async def leaves_behind(ctx: AsyncContext) -> str:
        task = asyncio.ensure_future(ctx.step.map("each", each, ITEMS, max_concurrency=2))
        await ctx.step.run("one", lambda: 1)
        assert not task.done()
        return "done"

    @app.function(on="raises", retries=0)
    async def raises(ctx: AsyncContext) -> None:
        task = asyncio.ensure_future(ctx.step.map("each", each, ITEMS, max_concurrency=2))
        await ctx.step.run("one", lambda: 1)
        raise ValueError(f"before {task} is suspended")

    return app


@pytest.mark.parametrize(
    ("name", "status"), [("fails-beside", "failed"), ("leaves-behind", "completed"), ("raises", "failed")]
)
def test_no_item_begins_after_the_end(name: str, status: str) -> None:
    seen: list[int] = []
    with Mill(shop(seen)) as mill:
        run = mill.send(name).run()
        assert run.status == status
        before = len(seen)
        mill.advance("1h")
        assert len(seen) == before == 0
        assert [record["type"] for record in run.journal].count("begun") == 1


def test_a_crash_between_the_record_and_the_parts_loses_none() -> None:
    app = App("shop")

    @app.function(on="go")
    def go(ctx: Context) -> list[int]:
        return ctx.step.map("each", lambda item: item + 1, [1, 2, 3])

    with Mill(app) as mill:
        real = mill._machine.world.runs.create
        died: list[bool] = []

        def dies(head: Any, records: Any) -> bool:
            if head.parent is not None and head.parent.chunk == 1 and not died:
                died.append(True)
                raise RuntimeError("the process dies here")
            return real(head, records)

        mill._machine.world.runs.create = dies  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="dies here"):
            mill.send("go")
        mill.advance("1h")
        run = mill.run(go)
        assert died == [True]
        assert run.output == [2, 3, 4]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_resting_item_does_not_keep_the_ready_ones_waiting(kind: str) -> None:
    seen: list[tuple[int, int]] = []
    app = App("shop")

    def each(ctx: Any) -> Any:
        def one(item: int) -> int:
            seen.append((item, ctx.attempt))
            if item in (0, 2) and ctx.attempt == 1:
                raise RetryAfterError("1h")
            return item * 10

        return one

    @app.function(on="sync")
    def sync_map(ctx: Context) -> list[int]:
        return ctx.step.map("each", each(ctx), [0, 1, 2, 3], max_concurrency=1)

    @app.function(on="async")
    async def async_map(ctx: AsyncContext) -> list[int]:
        return await ctx.step.map("each", each(ctx), [0, 1, 2, 3], max_concurrency=1)

    with Mill(app) as mill:
        run = mill.send(kind).run()
        assert [item for item, _ in seen] == [0, 1, 2, 3]
        mill.advance("1h")
        assert [item for item, _ in seen] == [0, 1, 2, 3, 0, 2]
        assert run.output == [0, 10, 20, 30]
