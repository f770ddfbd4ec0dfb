"""What code logs under `tidemill dev`: kept with its run, followed by the command line, bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from e2e.devserver import PATIENCE, SRC, DevServer, eventually

LOGS = """
from tidemill import App, Context
app = App("shop")

@app.function(on="order/placed")
def pay(ctx: Context) -> None:
    ctx.logger.info("begin")
    ctx.step.run("charge", lambda: ctx.logger.warning("charged"))
    ctx.step.sleep("cool down", "2s")
    ctx.logger.info("end")

@app.function(on="flood")
def flood(ctx: Context) -> None:
    for n in range(11_000):
        ctx.logger.info("%d", n)
"""


def test_logs_of_a_run_are_kept_through_a_kill_and_followed(dev: DevServer) -> None:
    dev.write("shop.py", LOGS)
    dev.start("shop.py")
    dev.send("order/placed")
    (run,) = eventually(lambda: dev.ask("GET", "/v1/runs")[1]["data"])
    path = f"/v1/runs/{run['run_id']}/logs"
    eventually(lambda: len(dev.ask("GET", path)[1]["data"]) == 2)
    dev.kill()
    dev.start("shop.py")
    command = [sys.executable, "-m", "tidemill_local.cli", "runs", "logs", run["run_id"], "--follow", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(SRC), "TIDEMILL_URL": f"http://127.0.0.1:{dev.port}"}
    followed = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=True, text=True)
    lines = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [(line["message"], line["step"]) for line in lines] == [
        ("begin", None),
        ("charged", "charge"),
        ("end", None),
    ]
    assert dev.completed(1)


def test_a_flood_of_lines_is_bounded_and_what_is_left_out_is_said(dev: DevServer) -> None:
    dev.write("shop.py", LOGS)
    dev.start("shop.py")
    dev.send("flood")
    (run,) = eventually(lambda: dev.ask("GET", "/v1/runs")[1]["data"])

    def last() -> str:
        page = dev.ask("GET", f"/v1/runs/{run['run_id']}/logs?limit=1000")[1]
        if page["cursor"]:  # the first line of a page says that earlier ones are gone
            page = dev.ask("GET", f"/v1/runs/{run['run_id']}/logs?limit=1000&cursor={page['cursor']}")[1]
        return str(page["data"][-1]["message"]) if page["data"] else ""

    assert (
        eventually(lambda: "more" in last() and last())
        == "1,000 more lines were not kept: one execution may log 10,000"
    )
    assert dev.completed(1)
