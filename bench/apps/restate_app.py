"""The benched functions on Restate, as an ASGI application."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import restate
from mark import mark

bench = restate.Service("Bench")


async def work(key: str) -> str:
    mark("s", key)
    return key


async def nothing(i: int) -> int:
    return i


@bench.handler()
async def one(ctx: restate.Context, data: dict[str, Any]) -> str:
    await ctx.run_typed("work", work, key=data["k"])
    mark("e", data["k"])
    return str(data["k"])


@bench.handler()
async def steps(ctx: restate.Context, data: dict[str, Any]) -> None:
    mark("b", data["k"])
    for i in range(data["n"]):
        await ctx.run_typed(f"s{i}", nothing, i=i)
    mark("e", data["k"])


@bench.handler()
async def nap(ctx: restate.Context, data: dict[str, Any]) -> None:
    mark("b", data["k"])
    await ctx.sleep(timedelta(seconds=data["n"]))
    mark("e", data["k"])


app = restate.app(services=[bench])
