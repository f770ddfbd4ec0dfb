"""The command line with a real `tidemill dev`: from nothing to a completed run, and through a restart."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading

from e2e.devserver import PATIENCE, SRC, DevServer, eventually, free_port

PATIENT = """
from tidemill import App, Context

app = App("shop")

@app.function(on="order/placed")
def checkout(ctx: Context) -> dict:
    paid = ctx.step.run("charge", lambda: ctx.event.data["total"])
    ok = ctx.step.wait_for_event("approval", "order/approved", match="data.id", timeout="1h")
    return {"paid": paid, "approved": ok is not None}
"""


# Whoever runs the tests in the background has them ignore Ctrl-C, and what they start with them.
START = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tidemill_local.cli", run_name="__main__", alter_sys=True)
"""


def tidemill(dev: DevServer, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), "TIDEMILL_URL": f"http://127.0.0.1:{dev.port}"}
    return subprocess.Popen(
        [sys.executable, "-c", START, *words],
        cwd=dev.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def rest(process: subprocess.Popen[str], within: float = PATIENCE) -> tuple[str, str]:
    """What it still prints until it ends, on both streams. (`communicate` misses what `readline` has read ahead.)"""
    assert process.stdout is not None
    assert process.stderr is not None
    patience = threading.Timer(within, process.kill)
    patience.start()
    try:
        out, err = process.stdout.read(), process.stderr.read()
        process.wait()
    finally:
        patience.cancel()
        process.stdout.close()
        process.stderr.close()
    return out, err


def said(dev: DevServer, *words: str) -> str:
    process = tidemill(dev, *words)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


def computed() -> float:
    """Seconds that the processes which this one has started, and waited for, have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_from_nothing_to_a_completed_run_in_less_than_10_seconds_of_computing(dev: DevServer) -> None:
    begun = computed()
    said(dev, "init")
    dev.start()
    told = said(dev, "send", "order/placed", "@order.json", "--wait").splitlines()
    assert told[-1].startswith("shop.checkout  completed in ")
    assert [line.split("  ")[2].strip() for line in told[1:-1]] == [
        "charge", "cool down", "cool down", "receipt", "tell others",
    ]  # fmt: skip
    assert (dev.folder / "receipts" / "o1.txt").exists()
    assert dev.stop() == 0
    assert computed() - begun < 10


def test_waiting_goes_on_where_a_killed_server_does(dev: DevServer) -> None:
    dev.write("app.py", PATIENT)
    dev.start()
    waiting = tidemill(dev, "send", "order/placed", '{"id": "o1", "total": 40}', "--wait")
    assert waiting.stdout is not None
    assert waiting.stdout.readline().startswith("shop.checkout  run ")
    dev.kill()
    dev.start()
    said(dev, "send", "order/approved", '{"id": "o1"}')
    out, err = rest(waiting)
    assert (waiting.returncode, err) == (0, "")
    assert out.count("charge") == 1
    assert out.splitlines()[-1].endswith('{"paid": 40, "approved": true}')


def test_ctrl_c_leaves_the_run_alone(dev: DevServer) -> None:
    dev.write("app.py", PATIENT)
    dev.start()
    waiting = tidemill(dev, "send", "order/placed", '{"id": "o1", "total": 40}', "--wait")
    assert waiting.stdout is not None
    run_id = waiting.stdout.readline().split()[-1]
    eventually(lambda: dev.statuses() == {"waiting": 1})
    waiting.send_signal(signal.SIGINT)
    _, err = rest(waiting)
    assert waiting.returncode == 130
    assert f"tidemill runs show {run_id}" in err
    assert json.loads(said(dev, "runs", "show", run_id, "--json"))["status"] == "waiting"
    assert said(dev, "runs", "cancel", run_id) == f"{run_id} is cancelled\n"


def test_functions_that_cannot_be_loaded_are_told_to_whoever_sends(dev: DevServer) -> None:
    dev.write("app.py", "from tidemill import App\napp = App('shop')\nimport nowhere_to_be_found\n")
    dev.port = free_port()
    dev.launch()
    eventually(lambda: not dev.refuses())
    eventually(lambda: "nowhere_to_be_found" in dev.output())
    sending = tidemill(dev, "send", "order/placed")
    out, err = sending.communicate(timeout=PATIENCE)
    assert (sending.returncode, out) == (1, "")
    assert "app.py, line 3" in err
