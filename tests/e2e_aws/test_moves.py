"""Deployments that do not go straight: functions in nested stacks, a first deploy that fails, an app that moves.

Each in an emulated account of its own: names that another attempt has left behind would be in the way of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e_aws.conftest import KEYS, version_of
from e2e_aws.deployed import Deployed
from e2e_aws.many.many import COUNT
from support.emulator import PYTHON, Emulator, eventually

NAME, PLATFORM, SHOP = "moves", "Platform", "Shop"
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("moves")]

Assembly = Callable[[str], Path]


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    made: dict[str, Path] = {}

    def of(where: str) -> Path:
        if where not in made:
            made[where] = tmp_path_factory.mktemp(where)
            program = Path(__file__).with_name("moving_stack.py")
            done = subprocess.run(
                [sys.executable, program, made[where], version_of(PYTHON), where],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        return made[where]

    return of


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path)
    emulator.start()
    yield emulator
    emulator.stop()


def deployed(emulator: Emulator, outputs: dict[str, str]) -> Deployed:
    emulator.api = next(url for name, url in outputs.items() if "Url" in name).split("/")[2].split(".")[0]
    secrets = emulator.client("secretsmanager")
    keys = [secrets.get_secret_value(SecretId=f"tidemill/{NAME}/{kind}")["SecretString"] for kind in KEYS]
    return Deployed(emulator, NAME, *keys)


def tell(deployment: Deployed, n: int) -> None:
    """One event starts every function, and each comes to its end."""
    event = deployment.send("many/wanted", {"n": n})
    eventually(lambda: len(_ended(deployment, event)) == COUNT, within=90)
    assert sorted(run["output"] for run in _ended(deployment, event)) == [number + n for number in range(COUNT)]


def _ended(deployment: Deployed, event: str) -> list[dict[str, Any]]:
    return [run for run in deployment.runs(event) if run["status"] == "completed"]


def test_many_functions_in_nested_stacks(emulator: Emulator, assembly: Assembly) -> None:
    tell(deployed(emulator, emulator.deploy(assembly("inside"), PLATFORM)), 1)
    stacks = emulator.client("cloudformation").describe_stacks()["Stacks"]
    assert len([stack for stack in stacks if "Functions" in stack["StackName"]]) == 3


def test_a_first_deploy_that_failed_is_repeated(emulator: Emulator, assembly: Assembly) -> None:
    folder = assembly("beside")
    url = emulator.upload(folder, PLATFORM)
    place = _place(url)
    template = json.loads(emulator.client("s3").get_object(**place)["Body"].read())
    nothing = {"TemplateURL": url.replace(place["Key"], "there-is-none.json")}  # found out after all else was made
    fails = {"Type": "AWS::CloudFormation::Stack", "Properties": nothing, "DependsOn": sorted(template["Resources"])}
    template["Resources"]["Fails"] = fails
    bad = emulator.put(place["Bucket"], "bad.json", json.dumps(template).encode())
    assert emulator.settled(PLATFORM, "create", bad)["StackStatus"] == "ROLLBACK_COMPLETE"
    formation = emulator.client("cloudformation")
    formation.delete_stack(StackName=PLATFORM)
    eventually(lambda: not _there(formation, PLATFORM), within=120)
    deployment = deployed(emulator, emulator.deploy(folder, PLATFORM))
    emulator.deploy(folder, SHOP)
    tell(deployment, 2)


def _place(url: str) -> dict[str, str]:
    bucket, key = url.split("/", 3)[3].split("/", 1)
    return {"Bucket": bucket, "Key": key}


def _there(formation: Any, stack: str) -> bool:
    found = formation.list_stacks()["StackSummaries"]
    return any(each["StackName"] == stack and each["StackStatus"] != "DELETE_COMPLETE" for each in found)


def test_an_app_moves_into_a_stack_of_its_own(emulator: Emulator, assembly: Assembly) -> None:
    deployment = deployed(emulator, emulator.deploy(assembly("inside"), PLATFORM))
    tell(deployment, 3)
    emulator.change(assembly("beside"), PLATFORM)
    emulator.deploy(assembly("beside"), SHOP)
    tell(deployment, 4)
