"""A branch of a run in a worker goes on while a step of another branch is at work there."""

from __future__ import annotations

import pytest
from e2e.devserver import DevServer, eventually

BRANCHES = """
import asyncio, os, time
from tidemill import App

app = App("news")

def work():
    note("at work")
    for _ in range(4_000):
        if os.path.exists("heard.txt"):
            return "heard"
        time.sleep(0.05)
    return "too late"

def note(line):
    with open("notes.txt", "a") as file:
        file.write(line + "\\n")

def hear():
    open("heard.txt", "w").close()

@app.function(on="plain")
def plain(ctx):
    def waits():
        ctx.step.wait_for_event("call", "call", timeout="1h")
        ctx.step.run("hear", hear)
    return ctx.step.parallel(waits, lambda: ctx.step.run("work", work))

@app.function(on="tasks")
async def tasks(ctx):
    async def waits():
        await ctx.step.wait_for_event("call", "call", timeout="1h")
        await ctx.step.run("hear", hear)
    return await asyncio.gather(waits(), ctx.step.run("work", work))
"""


@pytest.mark.parametrize("name", ["plain", "tasks"])
def test_a_branch_goes_on_while_another_one_works(dev: DevServer, name: str) -> None:
    dev.write("news.py", BRANCHES)
    dev.start("news.py", "--no-reload")
    dev.send(name, {})
    eventually(lambda: (dev.folder / "notes.txt").exists())
    dev.send("call", {})
    eventually(lambda: dev.completed(1))
    (run,) = dev.ask("GET", "/v1/runs")[1]["data"]
    assert run["output"][1] == "heard"
