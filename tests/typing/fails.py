"""Every line marked `# error` must fail, and no other, under mypy --strict and under pyright strict:
see tests/unit/package/test_typing.py.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tidemill import App, AsyncContext, CancelOn, Concurrency, Context, Cron, Event, Singleton
from tidemill.core.state import RunState, Tail

app = App("shop")


class SignedUp(BaseModel):
    user_id: str


class Paid(BaseModel):
    amount: int


def double(number: int, *, times: int = 1) -> int:
    return number * 2 * times


async def fetch(url: str) -> bytes:
    return url.encode()


# --- the context must be that of the trigger -----------------------------------------------------------


@app.function(on=Event(SignedUp))  # error
def other_model(_: Context[Paid]) -> None: ...


@app.function(on=Event(SignedUp))  # error
async def other_model_async(_: AsyncContext[Paid]) -> None: ...


@app.function(on=Event(SignedUp))  # error
def no_model(_: Context) -> None: ...


@app.function(on="user/signed.up")  # error
def model_from_a_name(_: Context[SignedUp]) -> None: ...


@app.function(on="user/signed.up")  # error
def async_context(_: AsyncContext) -> None: ...


@app.function(on=Event("a", SignedUp))
def modelled(ctx: Context[SignedUp]) -> str:
    return ctx.event.data.user  # error


# --- options -------------------------------------------------------------------------------------------

app.function(on="a", retries="4")  # error
app.function(on="a", retry=4)  # error
app.function(on="a", versions="newest")  # error
app.function(on="a", concurrency=1)  # error
app.function(on="a", cancel_on="b")  # error
app.function(on=1)  # error
Concurrency("1")  # error
Concurrency(1, scope="world")  # error
Singleton("keep")  # error
Cron("0 9 * * *", zone="UTC")  # error
CancelOn("a", timeout=[1])  # error
Event(int)  # error


# --- steps ---------------------------------------------------------------------------------------------


@app.function(on="x")
def steps(ctx: Context) -> None:
    ctx.step.run("double", double, "1")  # error
    ctx.step.run("double", double)  # error
    ctx.step.run("double", double, 1, time=2)  # error
    ctx.step.run(double, 1)  # error
    text: str = ctx.step.run("double", double, 1)  # error
    ctx.step.options(retry=1)  # error
    ctx.step.options(retries=1).run("double", double, "1")  # error
    ctx.step.sleep("nap", [5])  # error
    ctx.step.sleep_until("morning", 5)  # error
    ctx.step.wait_for_event("a", "b", math="data.x")  # error
    name = ctx.step.wait_for_event("a", "b").name  # error
    ctx.step.wait_for_any("a", {"b": "c"})  # error
    ctx.step.invoke("a", modelled, Paid(amount=1))  # error
    number: int = ctx.step.invoke("a", modelled, {})  # error
    ctx.step.invoke("a", double, {})  # error
    ctx.step.send_event("a", "b")  # error
    ctx.step.parallel(ctx.step.run("a", double, 1))  # error
    ctx.step.map("a", double, ["x"])  # error
    ctx.event.id = "x"  # error
    assert text, (name, number)


@app.function(on="x")
async def steps_async(ctx: AsyncContext) -> None:
    await ctx.step.run("fetch", fetch, 1)  # error
    await ctx.step.run("double", double, "1")  # error
    text: str = await ctx.step.run("fetch", fetch, "x")  # error
    other: str = ctx.step.run("double", double, 1)  # error
    await ctx.step.map("a", fetch, [1])  # error
    ctx.step.sleep("nap", 1)  # error
    await ctx.step.parallel(lambda: 1)  # error
    assert text, other


# --- sending -------------------------------------------------------------------------------------------

app.send("a", 1)  # error
app.send("a", {}, ident="x")  # error
app.send([1])  # error
app.send({"name": "a"})  # error
app.send([{"name": "a"}], id="x")  # error
nothing: dict[str, Any] = app.send("a")  # error


# --- inside the engine: the tail of a journal is not the whole of it -----------------------------------


def whole_state(state: RunState) -> tuple[object, ...]:
    return state.events


def only_the_tail(state: Tail) -> None:
    whole_state(state)  # error
    assert state.birth  # error
