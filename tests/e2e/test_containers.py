"""Steps in real containers: the suite of all runtimes, and the first definition, on the engine of this machine.

The engine is found as `tidemill dev` finds it: by DOCKER_HOST, or by a socket in one of the usual places.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.programs import Kind, clock, folders, task_of
from contract.test_runtimes import *  # noqa: F403  its tests, on this module's `kind`
from e2e.devserver import DevServer, eventually
from support.first_definition import DEFINITION

from tidemill.core.definition import Docker
from tidemill_local.runtimes import Containers
from tidemill_local.runtimes.engine import Engine, EngineError, address

pytestmark = pytest.mark.slow
IMAGE = "python:3.11"

SMS = """
import json, os, sys, urllib.request

given = json.loads(sys.argv[-1])
if "input_url" in given:
    given = json.load(urllib.request.urlopen(given["input_url"]))
host = "host.docker.internal" in open("/etc/hosts").read()
print(json.dumps({"sent": given["event"]["user"]["phone"], "pid": os.getpid(), "host": host}))
"""
INTERCOM = """
def handler(event, context):
    return {"added": event["steps"]["step-1"]["sent"]}
"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine of this machine, with the image that the programs are built on."""
    where = address()
    if where is None:
        pytest.skip("no container engine: DOCKER_HOST is not set, and no socket is in a usual place")
    found = Engine(where)
    if not found.answers():
        pytest.skip(f"no container engine answers at {where}")
    try:
        found.call("GET", f"/images/{IMAGE}/json")
    except EngineError:
        import time

        try:
            found.pull(IMAGE, time.monotonic() + 300)
        except (EngineError, TimeoutError) as error:
            pytest.skip(f"the engine at {where} has no image {IMAGE}, and cannot fetch it: {error}")
    return found


def containers(engine: Engine) -> list[str]:
    """The ids of our containers that are there."""
    query = {"all": "1", "filters": json.dumps({"label": ["tidemill.worker"]})}
    return [str(one["Id"]) for one in engine.call("GET", "/containers/json", query)]


@pytest.fixture
def kind(engine: Engine, tmp_path: Path) -> Iterator[Kind]:
    folders(tmp_path)
    before = containers(engine)
    yield Kind(Containers(clock), lambda name, **more: task_of(Docker(), name, tmp_path, **more))
    assert containers(engine) == before, "every container is removed"


@pytest.mark.parametrize("size", [10, 100_000])
def test_the_first_definition_runs_in_a_container(engine: Engine, dev: DevServer, size: int) -> None:
    before = containers(engine)
    for name in ("send-sms-dispatch", "add-to-intercom"):
        (dev.folder / "steps" / name).mkdir(parents=True)
    dev.write("steps/send-sms-dispatch/Dockerfile", f'FROM {IMAGE}\nCOPY . .\nENTRYPOINT ["python3", "sms.py"]\n')
    dev.write("steps/send-sms-dispatch/sms.py", SMS)
    dev.write("steps/add-to-intercom/handler.py", INTERCOM)
    dev.write("welcome.function.json", DEFINITION)
    dev.start(".")
    user = {"id": "u1", "phone": "+15550100", "created_at": "2021-01-01"}
    event = {"name": "user/signed.up", "user": user, "data": {"text": "x" * size}}
    assert dev.ask("POST", "/e/test", event)[0] == 200

    def run() -> Any:
        (found,) = dev.ask("GET", "/v1/runs?function=prompt-deer-ede40d")[1]["data"]
        return found if found["ended_at"] else None

    found = eventually(run, within=120)
    assert (found["status"], found["output"]) == ("completed", {"step-2": {"added": "+15550100"}})
    (sms, _) = dev.ask("GET", f"/v1/runs/{found['run_id']}")[1]["data"]["steps"]
    assert sms["output"] == {"sent": "+15550100", "pid": 1, "host": True}, "a process of its own, in a container"
    assert containers(engine) == before
