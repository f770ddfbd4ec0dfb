"""A bulk replay goes on after the server was killed, and makes each run once."""

from __future__ import annotations

from e2e.devserver import DevServer, eventually

APP = """
import os
from tidemill import App, NonRetriableError

app = App("shop")

@app.function(on="pay")
def pay(ctx):
    if not os.path.exists("fixed.txt"):
        raise NonRetriableError("broken")
    return "paid"
"""
RUNS = 250


def test_a_replay_survives_the_death_of_the_server(dev: DevServer) -> None:
    dev.write("shop.py", APP)
    dev.start("shop.py", "--no-reload")
    dev.send("pay", {}, RUNS)
    eventually(lambda: dev.statuses().get("failed") == RUNS)
    (dev.folder / "fixed.txt").touch()
    body = {"function_id": "shop.pay", "id": "fix"}
    assert dev.ask("POST", "/v1/replays", body)[0] == 202
    eventually(lambda: dev.ask("GET", "/v1/replays/fix")[1]["data"]["done"] > 0)
    dev.kill()
    dev.start("shop.py", "--no-reload")
    assert dev.ask("POST", "/v1/replays", body)[0] == 202
    eventually(lambda: dev.statuses().get("completed") == RUNS)
    eventually(lambda: dev.ask("GET", "/v1/replays/fix")[1]["data"]["status"] == "completed")
    assert dev.ask("GET", "/v1/replays/fix")[1]["data"]["done"] == RUNS
    assert dev.statuses() == {"failed": RUNS, "completed": RUNS}
