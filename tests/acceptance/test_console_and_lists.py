"""What a user of `tidemill dev` sees of runs of every kind: one row each, and a console that says nothing odd."""

from __future__ import annotations

from typing import Any

from e2e.devserver import DevServer, eventually

EVERY_KIND = """
from concurrent.futures import ThreadPoolExecutor
from tidemill import App, Context, Wait

app = App("shop")

class Odd(BaseException):
    pass

def odd():
    raise Odd("odd")

@app.function(on="sleep")
def sleeps(ctx: Context):
    ctx.step.sleep("nap", "50ms")

@app.function(on="wait")
def waits(ctx: Context):
    return ctx.step.wait_for_any("any", {"a": Wait("never"), "b": Wait("ever")}, timeout="50ms")

@app.function(on="signal")
def signals(ctx: Context):
    return ctx.step.wait_for_signal("go", "never", timeout="50ms")

@app.function(on="map")
def maps(ctx: Context):
    return sum(ctx.step.map("twice", lambda n: 2 * n, range(300)))

@app.function(on="map fails", retries=0)
def map_fails(ctx: Context):
    ctx.step.map("inverse", lambda n: 1 / n, [1, 0])

@app.function(on="invoke")
def invokes(ctx: Context):
    return ctx.step.invoke("child", child)

@app.function(on="invoke fails")
def invoke_fails(ctx: Context):
    return ctx.step.invoke("child", child, {"fail": True})

@app.function(retries=0)
def child(ctx: Context):
    ctx.step.sleep("nap", "50ms")
    return ctx.step.run("inner", lambda: 1 / 0 if ctx.event.data.get("fail") else 1)

@app.function(on="thread")
def thread(ctx: Context):
    with ThreadPoolExecutor() as pool:
        return pool.submit(lambda: ctx.step.run("a", int)).result()

@app.function(on="odd", retries=0)
def odds(ctx: Context):
    ctx.step.run("a", odd)

@app.function(on="tidemill/function.finished")
def counts(ctx: Context):
    return ctx.event.data["function_id"]

@app.function(on="tidemill/*")
def notes(ctx: Context):
    return ctx.event.data.get("function_id")
"""

SENT = ("sleep", "wait", "signal", "map", "map fails", "invoke", "invoke fails", "thread", "odd")


def rows(dev: DevServer, query: str = "") -> list[dict[str, Any]]:
    status, answer = dev.ask("GET", f"/v1/runs?limit=1000{query}")
    assert status == 200, answer
    return list(answer["data"])


def ended(dev: DevServer) -> bool:
    return all(run["ended_at"] for run in rows(dev))


def test_every_kind_of_run_is_one_row_and_leaves_a_clean_console(dev: DevServer) -> None:
    dev.write("shop.py", EVERY_KIND)
    dev.start("shop.py", "--concurrency", "4")
    for name in SENT * 2:  # twice: the slots are there after the first
        dev.send(name)
    eventually(lambda: ended(dev))
    by_function: dict[str, list[dict[str, Any]]] = {}
    for run in rows(dev):
        by_function.setdefault(run["function_id"].removeprefix("shop."), []).append(run)
    told = 2 * len(SENT) + 4
    listeners = {name: len(by_function.pop(name)) for name in ("counts", "notes")}
    assert {name: len(runs) for name, runs in by_function.items()} == {
        "sleeps": 2, "waits": 2, "signals": 2, "maps": 2, "map-fails": 2, "invokes": 2, "invoke-fails": 2,
        "child": 4, "thread": 2, "odds": 2,
    }  # fmt: skip
    assert listeners["counts"] == told, "an end is told once, and the ends of those who are told are not"
    assert listeners["notes"] >= told

    def error(name: str) -> tuple[str, str | None]:
        (found,) = {(run["error"]["type"], run["error"]["step_id"]) for run in by_function[name] if run["error"]}
        return found

    assert [error("map-fails"), error("invoke-fails"), error("child"), error("thread")] == [
        ("ZeroDivisionError", "inverse"), ("ZeroDivisionError", "child"), ("ZeroDivisionError", "inner"),
        ("NonRetriableError", None),
    ]  # fmt: skip
    assert {run["status"] for run in by_function["odds"]} == {"failed"}
    assert not [line for line in dev.output().splitlines() if "Traceback" in line or "gave up" in line]
    assert dev.stop() == 0
