"""The benched functions on Tidemill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mark import mark

from tidemill import App, Concurrency, Context, Event

app = App("bench")


def work(key: str) -> str:
    mark("s", key)
    return key


def nothing(i: int) -> int:
    return i


def one_step(ctx: Context) -> dict[str, Any]:
    key = ctx.event.data["k"]
    ctx.step.run("work", work, key)
    mark("e", key)
    return {"k": key}


app.function(on="bench/one", id="one")(one_step)
app.function(on="bench/go", id="go")(one_step)
app.function(on="bench/ten", id="ten", concurrency=Concurrency(10))(one_step)
app.function(on="bench/keyed", id="keyed", concurrency=Concurrency(1, key="event.data.n"))(one_step)


@app.function(on="bench/single", concurrency=Concurrency(1))
def single(ctx: Context) -> None:
    mark("b", ctx.event.data["k"])
    mark("e", ctx.event.data["k"])


@app.function(on="bench/line", concurrency=Concurrency(1))
def line(ctx: Context) -> None:
    """A line forms before the first, whose key is a file: it waits for that."""
    key = ctx.event.data["k"]
    if key.startswith("/"):
        mark("g", key)
        while not Path(key).exists():
            time.sleep(0.01)
    mark("e", key)


def fan(n: int) -> None:
    def function(ctx: Context) -> None:
        key = f"{ctx.event.data['k']}.{n}"
        ctx.step.run("work", work, key)
        mark("e", key)

    app.function(on="bench/fan", id=f"fan-{n}")(function)


for number in range(5):
    fan(number)


@app.function(on="bench/steps")
def steps(ctx: Context) -> None:
    mark("b", ctx.event.data["k"])
    for i in range(ctx.event.data["n"]):
        ctx.step.run(f"s{i}", nothing, i)
    mark("e", ctx.event.data["k"])


@app.function(on="bench/nap")
def nap(ctx: Context) -> None:
    mark("b", ctx.event.data["k"])
    ctx.step.sleep("nap", ctx.event.data["n"])
    mark("e", ctx.event.data["k"])


@app.function(on="bench/wait")
def wait(ctx: Context) -> None:
    mark("b", ctx.event.data["k"])
    ctx.step.wait_for_event("go", "bench/go", match="data.k", timeout="3d")


@app.function(on=Event("bench/long"))
def long(ctx: Context) -> None:
    key = ctx.event.data["k"]
    for i in range(ctx.event.data["n"]):
        ctx.step.run(f"s{i}", nothing, i)
    mark("b", key)
    for wake in range(5):
        ctx.step.wait_for_event(f"wake{wake}", "bench/wake", match="data.k", timeout="1h")
        mark("w", f"{key}.{wake}")
    mark("e", key)
