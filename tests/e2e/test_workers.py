"""`tidemill dev` when a worker's code hangs, dies, or leaves processes behind: what it costs, and whom."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from e2e.devserver import PATIENCE, DevServer, eventually

APP = """
import ctypes, multiprocessing, os, subprocess, sys, time
from tidemill import App, AsyncContext, Concurrency, Context, Timeouts

app = App("shop")

class Odd(BaseException):
    pass

@app.function(on="ok", retries=0)
def ok(ctx: Context):
    return ctx.step.run("ok", lambda: 1)

@app.function(on="odd", retries=0)
def odd(ctx: Context):
    def leave_a_child():
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True).start()
        raise Odd("in a step")
    ctx.step.run("odd", leave_a_child)

@app.function(on="odd-between", retries=0)
def odd_between(ctx: Context):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True).start()
    raise Odd("between steps")

@app.function(on="segfault", retries=0)
def segfault(ctx: Context):
    def crash():
        while not os.path.exists("crash"):
            time.sleep(0.01)
        ctypes.string_at(0)
    ctx.step.run("crash", crash)

@app.function(on="segfault-at-once", retries=1)
def segfault_at_once(ctx: Context):
    ctx.step.run("crash", lambda: ctypes.string_at(0))

@app.function(on="neighbour", retries=0)
def neighbour(ctx: Context):
    def body():
        with open("neighbour.txt", "a") as file:
            file.write("x ")
        while not os.path.exists("go"):
            time.sleep(0.01)
        return ctx.attempt
    return ctx.step.run("body", body)

@app.function(on="finish", timeouts=Timeouts(finish="1s"))
def finish(ctx: Context):
    for name in "ab":
        ctx.step.run(name, time.sleep, 600)

@app.function(on="hang", retries=0, concurrency=Concurrency(1))
def hang(ctx: Context):
    if ctx.event.data.get("short"):
        return ctx.step.run("short", lambda: "short")
    ctx.step.run("hang", time.sleep, 1_000)

@app.function(on="late", retries=0)
def late(ctx: Context):
    ctx.step.options(timeout="1s").run("late", time.sleep, 1_000)

@app.function(on="blocks", retries=0)
async def blocks(ctx: AsyncContext):
    async def body():
        time.sleep(1_000)
    await ctx.step.options(timeout="1s").run("blocks", body)

@app.function(on="lock", retries=0)
def lock(ctx: Context):
    ctx.step.options(timeout="1s").run("lock", ctypes.PyDLL(None).sleep, 1_000)

@app.function(on="daemon")
def daemon(ctx: Context):
    daemon = "import os,sys,time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
    def start():
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        subprocess.run([sys.executable, "-c", daemon], check=True)
        open("started", "w").close()
        time.sleep(600)
    ctx.step.run("start", start)
"""


@pytest.fixture
def shop(dev: DevServer) -> DevServer:
    dev.write("shop.py", APP)
    return dev


def run_of(dev: DevServer, event_id: str) -> Any:
    """The run that this event has started, with its steps."""
    (run,) = dev.ask("GET", f"/v1/events/{event_id}/runs")[1]["data"]
    return dev.ask("GET", f"/v1/runs/{run['run_id']}")[1]["data"]


def ended(dev: DevServer, event_id: str, within: float = PATIENCE) -> Any:
    return eventually(lambda: (run := run_of(dev, event_id))["ended_at"] and run, within)


@pytest.mark.parametrize(("name", "message"), [("odd", "in a step"), ("odd-between", "between steps")])
def test_an_error_that_is_no_exception_ends_its_run_by_its_name_while_a_child_lives(
    shop: DevServer, name: str, message: str
) -> None:
    shop.start("shop.py")
    run = ended(shop, shop.send(name)[0])
    assert (run["status"], run["error"]["type"], run["error"]["message"]) == ("failed", "Odd", message)
    assert run_of(shop, shop.send("ok")[0])


def test_a_segfault_charges_no_neighbour_and_keeps_nobody_waiting(shop: DevServer) -> None:
    shop.start("shop.py")
    (guilty,), (innocent,) = shop.send("segfault"), shop.send("neighbour")
    eventually(lambda: shop.lines("neighbour.txt") == ["x"])
    shop.write("crash", "")
    run = ended(shop, guilty)
    assert (run["status"], run["error"]["type"]) == ("failed", "Crashed")
    assert "SIGSEGV" in run["error"]["message"]
    shop.write("go", "")
    run = ended(shop, innocent)
    assert (run["status"], run["output"]) == ("completed", 1), "its first attempt was not charged"
    assert "each continues in its own worker" in shop.output()


def test_a_function_that_crashes_at_once_delays_no_other(shop: DevServer) -> None:
    shop.start("shop.py")
    crashing = shop.send("segfault-at-once", count=5)
    eventually(lambda: "SIGSEGV" in shop.output())
    other = ended(shop, shop.send("ok")[0])
    crashed = [ended(shop, event) for event in crashing]
    assert {run["status"] for run in crashed} == {"failed"}
    assert other["ended_at"] < max(run["ended_at"] for run in crashed)


def test_a_finish_timeout_ends_a_run_while_its_step_runs(shop: DevServer) -> None:
    shop.start("shop.py", "--concurrency", "1")
    run = ended(shop, shop.send("finish")[0])
    assert (run["status"], run["reason"]) == ("cancelled", "it did not end within its finish timeout")


def test_a_step_at_work_is_shown_as_running(shop: DevServer) -> None:
    shop.start("shop.py")
    (event,) = shop.send("neighbour")
    eventually(lambda: shop.lines("neighbour.txt") == ["x"])
    (step,) = run_of(shop, event)["steps"]
    assert (step["id"], step["status"], step["attempts"], step["ended_at"]) == ("body", "running", 1, None)
    shop.write("go", "")
    (step,) = ended(shop, event)["steps"]
    assert step["status"] == "completed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to a process of one's choice")
@pytest.mark.parametrize("what", ["worker", "zygote", "server"])
def test_processes_that_left_their_session_do_not_outlive_their_worker(shop: DevServer, what: str) -> None:
    shop.start("shop.py")
    shop.send("daemon")
    eventually((shop.folder / "started").exists)

    def sleepers() -> set[int]:
        return {
            pid for pid in shop.descendants() if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"sleep(600)\0")
        }

    eventually(lambda: len(sleepers()) == 2)
    daemons = sleepers()
    os.kill(shop.process.pid if what == "server" else getattr(shop, what)(), signal.SIGKILL)
    eventually(lambda: not daemons & set(shop.descendants()))


@pytest.mark.slow
def test_a_hung_step_of_a_cancelled_run_gives_its_places_back(shop: DevServer) -> None:
    shop.start("shop.py", "--concurrency", "1")
    (event,) = shop.send("hang")
    eventually(lambda: run_of(shop, event)["steps"])
    shop.ask("DELETE", f"/v1/runs/{run_of(shop, event)['run_id']}")
    run = ended(shop, shop.send("hang", {"short": True})[0])
    assert run["output"] == "short"
    assert "it was cancelled and is still at work; its place is given back" in shop.output()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["late", "blocks", "lock"])
def test_a_step_past_its_timeout_gives_its_place_back(shop: DevServer, name: str) -> None:
    shop.start("shop.py", "--concurrency", "1")
    hung = shop.worker()
    (event,) = shop.send(name)
    run = ended(shop, event)
    assert (run["status"], run["error"]["type"]) == ("failed", "StepTimeoutError")
    assert ended(shop, shop.send("ok")[0])["status"] == "completed"
    eventually(lambda: f"worker {hung} is replaced" in shop.output())
    eventually(lambda: hung not in shop.descendants())
