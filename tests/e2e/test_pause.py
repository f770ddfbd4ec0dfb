"""A function is paused while a run of it executes in a worker, and over a restart of the server."""

from __future__ import annotations

from e2e.devserver import DevServer, eventually

APP = """
import os, time
from tidemill import App

app = App("shop")

def note(line):
    with open("notes.txt", "a") as file:
        file.write(line + "\\n")

def first():
    note("first")
    for _ in range(2_000):
        if os.path.exists("go.txt"):
            return
        time.sleep(0.01)

@app.function(on="pay")
def pay(ctx):
    ctx.step.run("first", first)
    ctx.step.run("second", note, "second")
"""


def _notes(dev: DevServer) -> list[str]:
    file = dev.folder / "notes.txt"
    return file.read_text().split() if file.exists() else []


def test_a_paused_function_stops_before_its_next_step_and_goes_on_after_a_restart(dev: DevServer) -> None:
    dev.write("shop.py", APP)
    dev.start("shop.py", "--no-reload")
    dev.send("pay", {})
    eventually(lambda: _notes(dev) == ["first"])
    status, answer = dev.ask("POST", "/v1/functions/shop.pay/pause")
    assert (status, answer["data"]["paused"]["events"]) == (200, "keep")
    (dev.folder / "go.txt").touch()
    (run,) = dev.ask("GET", "/v1/runs")[1]["data"]

    def why() -> str:
        return str(dev.ask("GET", f"/v1/runs/{run['run_id']}/why")[1]["data"]["code"])

    eventually(lambda: why() == "paused")
    dev.stop()
    dev.start("shop.py", "--no-reload")
    dev.send("pay", {})
    eventually(lambda: len(dev.ask("GET", "/v1/runs")[1]["data"]) == 2)
    assert why() == "paused"
    assert _notes(dev) == ["first"]
    dev.ask("POST", "/v1/functions/shop.pay/resume")
    eventually(lambda: dev.completed(2))
    assert sorted(_notes(dev)) == ["first", "first", "second", "second"]
