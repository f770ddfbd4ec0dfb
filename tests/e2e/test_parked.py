"""Long runs whose code stays standing: woken by events and by time, they go on where they stood, in the same thread."""

from __future__ import annotations

import pytest
from e2e.devserver import DevServer, eventually

LONG = """
import asyncio
from tidemill import App

app = App("long")

def note(line):
    with open("notes.txt", "a") as file:
        file.write(line + "\\n")

@app.function(on="plain/long")
def plain(ctx):
    note("plain-from-the-top")  # between steps, to see how often the code is run from the top
    for n in range(100):
        ctx.step.run(f"s{n}", int)
    for n in range(3):
        ctx.step.wait_for_event(f"w{n}", "go/on", match="data.k", timeout="1h")
        ctx.step.sleep(f"nap{n}", 0.4)
    return ctx.step.parallel(
        lambda: ctx.step.wait_for_event("left", "go/left", timeout="1h").data["k"],
        lambda: ctx.step.wait_for_event("right", "go/right", timeout="1h").data["k"],
    )

@app.function(on="tasks/long")
async def tasks(ctx):
    note("tasks-from-the-top")
    for n in range(100):
        await ctx.step.run(f"s{n}", int)
    for n in range(3):
        await ctx.step.wait_for_event(f"w{n}", "go/on", match="data.k", timeout="1h")
        await ctx.step.sleep(f"nap{n}", 0.4)
    left = ctx.step.wait_for_event("left", "go/left", timeout="1h")
    right = ctx.step.wait_for_event("right", "go/right", timeout="1h")
    return [event.data["k"] for event in await asyncio.gather(left, right)]
"""


@pytest.mark.parametrize("name", ["plain", "tasks"])
def test_a_long_run_goes_on_where_it_stood(dev: DevServer, name: str) -> None:
    dev.write("long.py", LONG)
    dev.start("long.py", "--no-reload")
    dev.send(f"{name}/long", {"k": 1})
    for _ in range(3):
        eventually(lambda: dev.statuses().get("waiting") == 1)
        dev.send("go/on", {"k": 1})
        eventually(lambda: dev.statuses().get("waiting") != 1)
    eventually(lambda: dev.statuses().get("waiting") == 1)
    dev.send("go/right", {"k": 2})
    dev.send("go/left", {"k": 1})
    eventually(lambda: dev.completed(1))
    assert dev.lines("notes.txt") == [f"{name}-from-the-top"]
