"""What must type-check, under mypy --strict and under pyright strict: see tests/unit/package/test_typing.py."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypedDict, assert_type

from pydantic import BaseModel

from tidemill import (
    App,
    AsyncContext,
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Cron,
    Debounce,
    Event,
    EventView,
    Function,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    Wait,
)
from tidemill.testing import Mill

app = App("shop")


class SignedUp(BaseModel):
    event_name: ClassVar[str] = "user/signed.up"
    user_id: str


class Paid(BaseModel):
    amount: int


class Upload(TypedDict):
    url: str


def double(number: int, *, times: int = 1) -> int:
    return number * 2 * times


def shout(text: str) -> str:
    return text.upper()


async def fetch(url: str) -> bytes:
    return url.encode()


# --- declarations --------------------------------------------------------------------------------------


@app.function
def bare(ctx: Context) -> str:
    return assert_type(ctx.event, EventView[dict[str, Any]]).name


@app.function()
async def bare_async(ctx: AsyncContext) -> int:
    return await ctx.step.run("double", double, 1)


@app.function(on="user/*")
def named(ctx: Context) -> None:
    assert_type(ctx.event.data, dict[str, Any])
    assert_type(ctx.event.user, dict[str, Any] | None)
    assert_type(ctx.attempt, int)


@app.function(on=["a", Event("b", when="event.data.x > 1"), Cron("0 9 * * *", timezone="Europe/Paris", jitter="30s")])
def several(ctx: Context[dict[str, Any]]) -> list[str]:
    return [event.id for event in ctx.events]


@app.function(on="video/uploaded")
def described(ctx: Context[Upload]) -> str:
    return assert_type(ctx.event.data["url"], str)


@app.function(on=Event(SignedUp))
def modelled(ctx: Context[SignedUp]) -> str:
    return assert_type(ctx.event.data.user_id, str)


@app.function(on=Event(Paid, name="order/paid", when="event.data.amount > 0"))
async def modelled_async(ctx: AsyncContext[Paid]) -> int:
    return assert_type(ctx.event.data.amount, int)


@app.function(on=[Event("a", SignedUp), Event("b", SignedUp)])
def modelled_twice(ctx: Context[SignedUp]) -> str:
    return ctx.event.data.user_id


def note(ctx: Context) -> None:
    ctx.logger.info("failed: %s", ctx.event.data["error"])


async def note_async(ctx: AsyncContext) -> None:
    await ctx.step.send_event("tell", {"name": "failed", "data": ctx.event.data})


@app.function(
    on="order/paid",
    id="everything",
    name="Everything",
    retries=0,
    backoff=Backoff("5s", 3, "10m"),
    concurrency=[Concurrency(1, key="event.data.user_id"), Concurrency(10, scope="app", counts="runs")],
    throttle=Throttle(10, timedelta(seconds=1), burst=2),
    rate_limit=RateLimit(10, 60),
    debounce=Debounce("5m", key="event.data.user_id", timeout="1h"),
    priority="event.data.plan == 'pro' ? 120 : 0",
    singleton=Singleton("skip"),
    idempotency="event.data.order_id",
    cancel_on=[CancelOn("order/cancelled", match="data.order_id", timeout="1d")],
    timeouts=Timeouts(start="1h", finish="1d"),
    on_failure=note,
    versions="latest",
)
def everything(_: Context) -> None: ...


@app.function(on="order/paid", batch=Batch(100, "5s"), backoff="5s", on_failure=note_async)
async def batched(_: AsyncContext) -> None: ...


assert_type(modelled.id, str)
both: list[Function[SignedUp, str]] = [modelled, modelled_twice]


# --- steps ---------------------------------------------------------------------------------------------


@app.function(on="x")
def steps(ctx: Context) -> dict[str, object]:
    assert_type(ctx.step.run("double", double, 1, times=2), int)
    assert_type(ctx.step.run("lambda", lambda: "x"), str)
    assert_type(ctx.step.options(retries=1, timeout="30s").run("shout", shout, "a"), str)
    ctx.step.sleep("nap", timedelta(minutes=5))
    ctx.step.sleep("nap", "5m")
    ctx.step.sleep("nap", 0.5)
    ctx.step.sleep_until("morning", datetime.now(UTC))
    ctx.step.sleep_until("morning", "2026-11-01T09:00:00Z")
    approval = ctx.step.wait_for_event("approval", "video/approved", match="data.video_id", timeout="3d")
    assert_type(approval, EventView[dict[str, Any]] | None)
    first = ctx.step.wait_for_any("first", {"yes": Wait("a", match="data.x"), "no": Wait("b")}, timeout="1h")
    assert_type(first, tuple[str, EventView[dict[str, Any]]] | None)
    ctx.step.wait_for_signal("human", "approve", timeout=60)
    assert_type(ctx.step.invoke("sync", modelled, SignedUp(user_id="u1")), str)
    assert_type(ctx.step.invoke("async", modelled_async, {"amount": 1}, timeout="1m"), int)
    assert_type(ctx.step.invoke("by id", "shop.modelled", data={"user_id": "u1"}), Any)
    assert_type(ctx.step.send_event("one", {"name": "a", "data": {"x": 1}}), list[str])
    assert_type(ctx.step.send_event("two", [{"name": "a"}, {"name": "b"}]), list[str])
    mixed = ctx.step.parallel(lambda: ctx.step.run("a", double, 1), lambda: ctx.step.run("b", shout, "x"))
    assert_type(mixed, list[int | str])
    many = ctx.step.parallel(*[lambda n=n: ctx.step.run("a", double, n) for n in range(9)])
    assert_type(many, list[int])
    assert_type(ctx.step.map("all", double, [1, 2, 3], max_concurrency=2), list[int])
    return {"done": True}


@app.function(on="x")
async def steps_async(ctx: AsyncContext) -> None:
    assert_type(await ctx.step.run("sync", double, 1, times=2), int)
    assert_type(await ctx.step.run("async", fetch, "https://example.com"), bytes)
    assert_type(await ctx.step.options(retries=1).run("async", fetch, "https://example.com"), bytes)
    await ctx.step.sleep("nap", "5m")
    await ctx.step.sleep_until("morning", "2026-11-01")
    approval = await ctx.step.wait_for_event("approval", "video/approved", when="async.data.ok", lookback=False)
    assert_type(approval, EventView[dict[str, Any]] | None)
    assert_type(await ctx.step.invoke("other", modelled_async, Paid(amount=1)), int)
    assert_type(await ctx.step.invoke("other", modelled, {"user_id": "u1"}), str)
    gathered = await asyncio.gather(ctx.step.run("a", double, 1), ctx.step.run("b", fetch, "x"))
    assert_type(gathered, tuple[int, bytes])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ctx.step.run("a", fetch, "x"))
        group.create_task(ctx.step.sleep("b", 1))
        group.create_task(ctx.step.wait_for_event("c", "d"))
    assert_type(task.result(), bytes)
    mixed = await ctx.step.parallel(lambda: ctx.step.run("a", double, 1), lambda: ctx.step.run("b", fetch, "x"))
    assert_type(mixed, list[int | bytes])
    assert_type(await ctx.step.map("sync", double, [1, 2]), list[int])
    assert_type(await ctx.step.map("async", fetch, ["a", "b"]), list[bytes])


# --- calling and sending -------------------------------------------------------------------------------


def call(ctx: Context[SignedUp]) -> str:
    return modelled(ctx)


async def call_async(ctx: AsyncContext[Paid]) -> int:
    await app.asend("order/paid", Paid(amount=1))
    return await modelled_async(ctx)


assert_type(app.send("user/signed.up", {"user_id": "u1"}, id="a", user={"id": "u1"}, ts=1, v="1"), list[str])
assert_type(app.send("order/paid", Paid(amount=1)), list[str])
assert_type(app.send([{"name": "a"}, {"name": "b"}]), list[str])


# --- what tests assert, and what is waited for -----------------------------------------------------------


class Lesson(BaseModel):
    title: str


@app.function(on="course/begun")
def learn(ctx: Context) -> str:
    lesson = assert_type(ctx.step.wait_for_event("lesson", "lesson/given", model=Lesson), EventView[Lesson] | None)
    mark = assert_type(ctx.step.wait_for_signal("mark", "mark", model=Lesson, timeout="1d"), Lesson | None)
    return lesson.data.title if lesson is not None else mark.title if mark is not None else ""


@app.function(on="course/begun")
async def learn_async(ctx: AsyncContext) -> str:
    found = await ctx.step.wait_for_event("lesson", "lesson/given", model=Lesson, when="async.data.title != ''")
    lesson = assert_type(found, EventView[Lesson] | None)
    mark = assert_type(await ctx.step.wait_for_signal("mark", "mark", model=Lesson), Lesson | None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ctx.step.wait_for_event("other", "lesson/given"))
    assert_type(task.result(), EventView[dict[str, Any]] | None)
    return lesson.data.title if lesson is not None else mark.title if mark is not None else ""


def twice() -> None:
    with Mill(app) as mill:
        run = mill.send("course/begun").run()
        assert run.status == "waiting"
        mill.advance("1d")
        assert run.status == "completed"
        assert_type(run.step("mark").status, str)
