from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from e2e_aws import first_deploy
from e2e_aws.account import Account
from e2e_aws.deployed import Deployed
from e2e_aws.receiver import Receiver
from support.emulator import PYTHON, Emulator

from tidemill.aws.settings import dead_letter_name

STACK = "Stories"
NAME = "e2e"


class Watched(Account):
    """A real account, in which some stories cannot be told."""

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"only the emulator shows its {name!r}")


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """An HTTP service of somebody's, which a step calls."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Path:
    """What `cdk synth` makes of the stack, for the Python and the machine that the emulator runs its Lambdas on."""
    out = tmp_path_factory.mktemp("assembly")
    made = subprocess.run(
        [sys.executable, Path(__file__).with_name("stack.py"), out, version_of(PYTHON), receiver.url],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return out


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The stack, deployed. What its Lambdas printed is in the emulator's log groups and is shown where a test fails.

    `TIDEMILL_FIRST_DEPLOY`: the URL of the stack in a real account (see first_deploy.py), in the emulator's place.
    """
    if url := os.environ.get(first_deploy.URL):
        yield first_deploy.deployment(Watched(url, boto3.client, os.environ.get(first_deploy.HOST, "")))
        return
    assembly: Path = request.getfixturevalue("assembly")
    emulator = Emulator(tmp_path_factory.mktemp("emulator"))
    emulator.start()
    try:
        outputs = emulator.deploy(assembly, STACK)
        emulator.api = next(url for name, url in outputs.items() if "Url" in name).split("/")[2].split(".")[0]
        secrets = emulator.client("secretsmanager")
        keys = [secrets.get_secret_value(SecretId=f"tidemill/{NAME}/{kind}")["SecretString"] for kind in KEYS]
        yield Deployed(emulator, NAME, *keys)
    finally:
        emulator.stop()


KEYS = ("event-keys", "api-keys")


@pytest.fixture(scope="session")
def begun(deployment: Deployed) -> dict[str, str]:
    """The stories that take their time, all begun at once: the ids of their events."""
    stories = {
        "crash": ("story/crash", {}),
        "poison": ("story/poison", {}),
        "overrun": ("story/overrun", {}),
        "long": ("story/long", {"parts": 8}),
        "sleep": ("story/sleep", {"for": 4}),
        "timeout": ("story/wait", {"draft": "nobody's", "timeout": 6}),
        "retry": ("story/retry", {}),
        "dying": ("story/desk", {"desk": "of the dying", "urgent": True, "for": 2, "dies": True}),
        "behind": ("story/desk", {"desk": "of the dying", "urgent": False, "for": 0}),
        "graph": ("story/graph", {"for": 4}),
        "large": ("story/large", {"bytes": 900_000, "blob": "b" * 700_000}),
    }
    events = {story: deployment.send(name, data) for story, (name, data) in stories.items()}
    return {**events, "buried": _buried(deployment)}


def _buried(deployment: Deployed) -> str:
    """A start among a function's dead letters, as if its Lambda could never begin."""
    detail = {"id": "buried", "name": "story/link", "data": {"n": 5}, "ts": 1, "received_at": int(time.time() * 1000)}
    sqs = deployment.emulator.client("sqs")
    dead = sqs.get_queue_url(QueueName=dead_letter_name(deployment.name, "stories.link"))["QueueUrl"]
    envelope = {"source": "tidemill", "detail-type": "story/link", "detail": detail}
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(envelope))
    return "buried"


def version_of(python: Path) -> str:
    asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
