"""A limit that functions share is the same in all: the synth refuses what differs, whoever declares it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tidemill_cdk.apps import manifest
from tidemill_cdk.problems import DeployError

# What `add_app`, `add_definitions` and `attach` all do with what is declared; each function in a stack of its own.
SCRIPT = """
from aws_cdk import App, Stack, aws_events as events, aws_iam as iam, aws_lambda as lambda_
from tidemill import Concurrency
from tidemill_cdk import DeployError, Settings
from tidemill_cdk.apps.declaration import written
from tidemill_cdk.apps.manifest import plain
from tidemill_cdk.names import Names
from tidemill_cdk.wiring import Wiring

def outcome(*limits):
    stack = Stack(App(), "Stack")
    bus = events.EventBus.from_event_bus_name(stack, "Bus", "tidemill-prod")
    token = "arn:aws:lambda:us-east-1:111122223333:function:registry"
    wiring = Wiring(Names("prod", stack), Settings(), bus, None, token, stack, None)
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    target = lambda_.Function.from_function_arn(stack, "F", token)
    try:
        for number, limit in enumerate(limits):
            declared = plain(f"f{number}", written(f"f{number}", "go", {"concurrency": limit}))
            wiring.connect(stack, declared=declared, target=target, role=role, timeout=10)
    except DeployError as error:
        return str(error)
    return "taken"

def account(limit, **options):
    return Concurrency(limit, scope="account", **options)

print(outcome(account(1), account(2)))
print(outcome(account(1, key="event.data.a"), account(1, key="event.data.b"), account(3, key="event.data.a")))
print(outcome(account(1), account(1), account(2, key="event.data.a"), account(3, counts="runs"), Concurrency(4)))
"""

APP = """
from tidemill import App, Concurrency

app = App("shop")

@app.function(on="go", concurrency=Concurrency(1, scope="app", key="event.data.user"))
def one(ctx): ...

@app.function(on="go", concurrency=Concurrency({limit}, scope="app", key="event.data.user"))
def two(ctx): ...
"""


def test_limits_of_the_account_that_differ() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plain, keyed, agreed = done.stdout.splitlines()
    assert plain.startswith("f0 and f1 share one concurrency limit of the account, but f0 gives it 1 places and f1 2; ")
    assert keyed.startswith("f0 and f2 share one concurrency limit of the account, but f0 gives it 1 places and f2 3; ")
    assert agreed == "taken"


def test_limits_of_one_app_that_differ(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP.format(limit=2))
    with pytest.raises(
        DeployError, match=r"shop\.one and shop\.two share one limit of the app \(key event\.data\.user"
    ):
        manifest.read(tmp_path, "shop:app", {})
    (tmp_path / "shop.py").write_text(APP.format(limit=1))
    assert len(manifest.read(tmp_path, "shop:app", {}).functions) == 2
