"""The example in several languages, on a real `tidemill dev`: examples/polyglot, as it stands."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.devserver import DevServer, eventually
from support.processes import gone, wait_until_gone

ROOT = Path(__file__).parents[2]
POLYGLOT = ROOT / "examples" / "polyglot"
SAMPLE = json.loads((ROOT / "events" / "samples" / "parcels.ndjson").read_text("utf-8"))


@pytest.fixture
def carrier() -> Iterator[str]:
    """The HTTP service; its port."""
    command = [sys.executable, str(POLYGLOT / "carrier.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.kill()


@pytest.fixture
def folder(dev: DevServer, carrier: str, monkeypatch: pytest.MonkeyPatch) -> DevServer:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")  # an engine would first fetch images
    shutil.copytree(POLYGLOT, dev.folder, dirs_exist_ok=True)
    definition = dev.folder / "parcel.function.json"
    definition.write_text(definition.read_text("utf-8").replace(":8399/", f":{carrier}/"), encoding="utf-8")
    return dev


def run_of(dev: DevServer, function: str) -> dict[str, Any]:
    """The only run of a function, once it has ended."""

    def ended() -> dict[str, Any] | None:
        runs = dev.ask("GET", f"/v1/runs?function={function}")[1]["data"]
        return runs[0] if runs and runs[0]["status"] not in ("scheduled", "running", "sleeping", "waiting") else None

    found = eventually(ended)
    assert found is not None
    run: dict[str, Any] = dev.ask("GET", f"/v1/runs/{found['run_id']}")[1]["data"]
    assert run["status"] == "completed", json.dumps(run, indent=1) + dev.output()
    return run


def test_a_parcel_goes_through_python_wasm_http_and_the_shell(folder: DevServer) -> None:
    folder.start("parcel.function.json")
    folder.send(SAMPLE["name"], SAMPLE["data"])
    run = run_of(folder, "parcel")
    assert run["output"] == {"label": {"body": "No. 400638133393-1\nTo: Grace Hopper\nPaid: 5.10\n"}}
    steps = {step["id"]: step for step in run["steps"]}
    assert steps["weigh"]["output"] == {"grams": 1_200}
    assert steps["check"]["output"] == {"digit": 1}
    assert steps["rate"]["output"] == {"status": 200, "body": {"offer": 1, "cents": 510}}
    assert steps["rate"]["attempts"] == 2
    log = folder.output()
    assert re.search(r"tidemill\.steps\.\S*parcel\.weigh: 400638133393: 900 g, and 1200 g by its volume", log), log
    assert log.count("no Docker engine answers here") == 1, log


def test_what_a_step_has_started_ends_with_the_server(folder: DevServer) -> None:
    (folder.folder / "weigh" / "weigh.py").write_text(
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=False)\n"
        "open('pids.new', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "os.rename('pids.new', 'pids')\n"
        "time.sleep(600)\n"
    )
    folder.start("parcel.function.json")
    folder.send(SAMPLE["name"], SAMPLE["data"])
    pids = [int(pid) for pid in eventually(lambda: folder.lines("weigh/pids"))]
    assert not any(gone(pid) for pid in pids)
    folder.kill()
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node here")
def test_a_tracking_link_is_made_by_node(folder: DevServer) -> None:
    folder.start("tracking.function.json")
    folder.send(SAMPLE["name"], SAMPLE["data"])
    run = run_of(folder, "tracking")
    assert re.fullmatch(r"https://track\.example/[\w-]{12}", run["output"]["track"]["url"])
