"""The first deployment into a real account, rehearsed: its own code, against the emulated account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber
from e2e_aws import first_deploy, measured
from e2e_aws.account import Account
from e2e_aws.deployed import Deployed
from support.emulator import REGION

STORIES = first_deploy.HERE / "test_stories.py"
pytestmark = pytest.mark.xdist_group("emulator")


@pytest.fixture
def account(deployment: Deployed) -> Account:
    """The emulated account, by the address and the host name that a real one would have."""
    emulator = deployment.emulator
    host = f"{emulator.api}.execute-api.localhost:{emulator.port}"
    return Account(f"http://127.0.0.1:{emulator.port}", emulator.client, host)


class Commands:
    """What would be run; `cdk deploy` finds the stack deployed. `statuses`: by what the command holds."""

    def __init__(self, url: str = "", statuses: Mapping[str, int] = {}) -> None:
        self.run: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self._url = url
        self._statuses = statuses

    def __call__(self, command: Sequence[str], more: Mapping[str, str]) -> int:
        self.run.append(list(command))
        self.environments.append(more)
        if "--outputs-file" in command:
            outputs = {first_deploy.STACK: {"TidemillBusName": "b", "TidemillUrl": self._url}}
            Path(command[command.index("--outputs-file") + 1]).write_text(json.dumps(outputs))
        return next((status for word, status in self._statuses.items() if word in command), 0)

    def verbs(self) -> list[str]:
        known = ("stack.py", "deploy", "pytest", "destroy")
        return [next(verb for verb in known if any(verb in word for word in command)) for command in self.run]


def test_it_deploys_tells_measures_and_destroys(account, monkeypatch, capsys):
    monkeypatch.setattr(first_deploy, "SLEEPS", (3, 4))
    commands = Commands("https://abc.execute-api.us-east-1.amazonaws.com/")
    urls: list[str] = []

    def there(url, _):
        urls.append(url)
        return account

    assert first_deploy.main([], commands, account.client, there) == 0
    assert commands.verbs() == ["stack.py", "deploy", "pytest", "destroy"]
    assert urls == ["https://abc.execute-api.us-east-1.amazonaws.com"]
    assert commands.environments[2] == {first_deploy.URL: urls[0]}
    shown = json.loads(capsys.readouterr().out)
    assert shown["a step"].endswith("of 495")  # five runs of a hundred
    assert shown["lateness of wake-ups"].endswith("of 2")


@pytest.mark.parametrize(
    ("statuses", "verbs"),
    [
        ({"deploy": 1}, ["stack.py", "deploy", "destroy"]),
        ({str(first_deploy.HERE / "stack.py"): 1}, ["stack.py"]),
    ],
)
def test_what_was_begun_is_destroyed_and_the_failure_told(account, statuses, verbs, capsys):
    commands = Commands("https://x", statuses)
    assert first_deploy.main([], commands, account.client) == 1
    assert commands.verbs() == verbs
    assert "above" in capsys.readouterr().err


def test_a_stack_that_stays_is_told(account, monkeypatch, capsys):
    monkeypatch.setattr(first_deploy, "measure", lambda *_: {})
    commands = Commands("https://x", {"destroy": 1})
    first_deploy.main([], commands, account.client, lambda *_: account)
    assert "delete it in CloudFormation" in capsys.readouterr().err
    kept = Commands("https://x")
    first_deploy.main(["--keep"], kept, account.client, lambda *_: account)
    assert "destroy" not in kept.verbs()


def test_the_stories_are_told_to_whatever_the_url_leads_to(deployment):
    """And those that look into the emulator are skipped."""
    emulator = deployment.emulator
    environment = {
        **os.environ,
        first_deploy.URL: f"http://127.0.0.1:{emulator.port}",
        first_deploy.HOST: f"{emulator.api}.execute-api.localhost:{emulator.port}",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{emulator.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
    }
    stories = "test_a_webhook_of_other_people or test_what_is_wrong_is_refused or test_the_same_id_again"
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            first_deploy.HERE / "test_stories.py",
            "-k",
            stories,
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stdout[-4_000:]
    assert "2 passed, 1 skipped" in told.stdout


def test_cold_starts_are_read_from_the_log(account):
    logs, group, now = account.client("logs"), "/first/deploy", int(time.time() * 1_000)
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    report = "REPORT RequestId: 1\tDuration: 12.30 ms\tBilled Duration: 600 ms\tMemory Size: 256 MB\t"
    lines = [
        report + "Max Memory Used: 90 MB\tInit Duration: 412.55 ms\t",
        report,
        "another line",
        '{"StepDuration": [1, 2]}',
    ]
    events = [{"timestamp": now, "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    assert measured.cold_starts(account, group, 0) == [412.55]


def test_figures():
    assert measured.figures([]) is None
    found = measured.figures([float(n) for n in range(1, 101)])
    assert found == (100, 50.0, 99.0, 100.0)
    assert str(found).startswith("50.0 ms at the median, 99.0 ms at the 99th percentile, 100.0 ms at most, of 100")


def test_the_bill_of_a_day_is_asked_of_cost_explorer(capsys):
    explorer = boto3.client("ce", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="s")

    def page(token, **costs):
        groups = [
            {"Keys": [name], "Metrics": {"UnblendedCost": {"Amount": cost, "Unit": "USD"}}}
            for name, cost in costs.items()
        ]
        return {"ResultsByTime": [{"Groups": groups}], **({"NextPageToken": token} if token else {})}

    asked = {
        "TimePeriod": {"Start": "2026-11-30", "End": "2026-12-01"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    with Stubber(explorer) as stub:  # it holds both against AWS's own model of them
        stub.add_response("get_cost_and_usage", page("t", Lambda="0.0123", SQS="0"), asked)
        stub.add_response("get_cost_and_usage", page("", DynamoDB="0.2"), {**asked, "NextPageToken": "t"})
        assert first_deploy.main(["--bill", str(date(2026, 11, 30))], clients=lambda _: explorer) == 0
    assert json.loads(capsys.readouterr().out) == {"day": "2026-11-30", "dollars": {"Lambda": 0.0123, "DynamoDB": 0.2}}
