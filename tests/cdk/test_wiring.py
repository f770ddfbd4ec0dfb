"""What is refused before anything is deployed, and told so that one knows what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidemill_cdk.apps import manifest
from tidemill_cdk.apps.declaration import written
from tidemill_cdk.bundles.assets import import_root
from tidemill_cdk.problems import DeployError

APPS = Path(__file__).parent / "apps"

# One process for all: to start the constructs takes seconds.
SCRIPT = """
from tidemill_cdk import DeployError, Settings
from aws_cdk import App, Stack, assertions, aws_events as events, aws_iam as iam, aws_lambda as lambda_
from tidemill_cdk.apps.manifest import Declared
from tidemill_cdk.names import Names
from tidemill_cdk.wiring import Wiring

stack = Stack(App(), "Stack")
wiring = Wiring(
    Names("prod", stack), Settings(rules=10), events.EventBus.from_event_bus_name(stack, "Bus", "tidemill-prod"), None,
    "arn:aws:lambda:us-east-1:111122223333:function:registry", stack, None,
)
target = lambda_.Function.from_function_arn(stack, "F", "arn:aws:lambda:us-east-1:111122223333:function:f")
role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))

def add(id, listens=True):
    spec = {"id": id, "retries": 4, "flow": {}, "triggers": []}
    pattern = {"source": ["tidemill"], "detail": {"name": ["a"]}} if listens else None
    wiring.connect(stack, declared=Declared(spec, pattern), target=target, role=role, timeout=10)

for number in range(6):
    add(f"f{number}")
add("quiet", listens=False)
add("f6")
add("f7")
for id in ("f8", "f7"):
    try:
        add(id)
    except DeployError as error:
        print(error)
(warning,) = assertions.Annotations.from_stack(stack).find_warning("*", assertions.Match.any_value())
print(warning.entry.data)
"""


def test_a_bus_has_so_many_rules_and_an_id_is_one_functions() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    full, twice, near = done.stdout.splitlines()
    assert "9 rules of the 10" in near
    assert "rule 11 of a bus that takes 10" in full
    assert "Service Quotas" in full
    assert "second Tidemill" in full
    assert twice == "two functions have the id 'f7'; give one of them another"


# The Python, the architecture and the context: one process for all of these, too.
JOINING = """
import json, os
from pathlib import Path
from tidemill_cdk import DeployError, Settings, Tidemill
from aws_cdk import App, Stack, assertions

def joined(context, **settings):
    app = App(context=context)
    Tidemill(Stack(app, "Mill"), "Tidemill", settings=Settings(**settings))
    Tidemill.import_(Stack(app, "Shop"), "Mill", name="prod")

for context, settings in (({"tidemill:python": "3.12"}, {"python": "3.13"}),
                          ({"tidemill:architecture": "x86_64"}, {}),
                          ({}, {}),
                          ({"tidemill:python": "3.12"}, {"python": "3.13", "name": "other"})):
    try:
        joined(context, **settings)
        print("joined")
    except DeployError as error:
        print(error)

def warnings(variables):
    os.environ.pop("CDK_CONTEXT_JSON", None)
    os.environ.update(variables)
    stack = Stack(App(), "Stack")
    Tidemill.import_(stack, "Mill", name="prod")
    found = assertions.Annotations.from_stack(stack).find_warning("*", assertions.Match.string_like_regexp("cdk.json"))
    return [one.entry.data for one in found]

Path("cdk.json").write_text(json.dumps({"app": "python app.py", "context": {"tidemill:log_days": 7, "other": 1}}))
print(warnings({}))
print(warnings({"CDK_CONTEXT_JSON": json.dumps({"tidemill:log_days": 7})}))
"""


def test_an_import_fits_what_is_deployed_and_knows_what_cdk_json_says(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", JOINING], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    python, architecture, fits, other, alone, by_cdk = done.stdout.splitlines()
    assert "would be built for python 3.12, and the deployment's layer is for 3.13; set tidemill:python to" in python
    assert "architecture x86_64, and the deployment's layer is for arm64" in architecture
    assert (fits, other) == ("joined", "joined")
    assert "cdk.json sets tidemill:log_days, but only the CDK's command line reads that file" in alone
    assert by_cdk == "[]"


def test_a_manifest_is_read_in_the_apps_own_folder() -> None:
    found = manifest.read(APPS / "shop", "shop:app", {"CURRENCY": "EUR"})
    assert [one.id for one in found.functions] == ["shop.daily", "shop.invoked-only", "shop.large"]
    assert [one.pattern is None for one in found.functions] == [False, True, False]
    assert [(one["name"], one["secret"]) for one in found.webhooks] == [("stripe", "STRIPE")]


def test_an_app_that_cannot_be_imported_is_told_with_its_own_error() -> None:
    with pytest.raises(DeployError) as told:
        manifest.read(APPS / "shop", "shop:app", {})
    assert "CURRENCY" in str(told.value)
    assert "shop:app" in str(told.value)


def test_what_attach_is_given_is_checked_as_a_declaration() -> None:
    with pytest.raises(DeployError, match="retries"):
        manifest.plain("legacy", written("legacy", "order/placed", {"retries": 99}))
    with pytest.raises(DeployError, match="cannot be given"):
        written("legacy", "order/placed", {"on_failure": object()})


def test_attached_functions_keep_their_id() -> None:
    (found,) = [manifest.plain("legacy", written("legacy", ["a", "b/*"], {"retries": 2}))]
    assert (found.id, found.spec["retries"]) == ("legacy", 2)
    assert found.pattern == {"source": ["tidemill"], "detail": {"name": ["a", {"prefix": "b/"}]}}


def test_a_package_is_imported_from_above(tmp_path: Path) -> None:
    (tmp_path / "shop" / "deep").mkdir(parents=True)
    for folder in ("shop", "shop/deep"):
        (tmp_path / folder / "__init__.py").touch()
    assert import_root(tmp_path / "shop" / "deep") == tmp_path
    with pytest.raises(DeployError, match="is no folder"):
        import_root(tmp_path / "gone")


def test_deploy_says_what_is_missing(tmp_path: Path) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-m", "tidemill_local.cli", "deploy"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no cdk.json in this folder" in done.stderr


WEBHOOKS = """
from tidemill_cdk import DeployError, Settings
from aws_cdk import App, Stack, assertions, aws_events as events, aws_iam as iam, aws_secretsmanager as secretsmanager
from tidemill_cdk.names import Names
from tidemill_cdk.wiring import Wiring

stack = Stack(App(), "Stack")
names = Names("prod", stack)
door = iam.Role.from_role_name(stack, "Door", names.ingest_role)
bus = events.EventBus.from_event_bus_name(stack, "Bus", "tidemill-prod")
wiring = Wiring(names, Settings(), bus, None, "arn:aws:lambda:us-east-1:111122223333:function:registry", stack, door)
secret = secretsmanager.Secret(stack, "Secret")

scopes = iter(range(9))

def admit(name, secrets):
    webhook = {"name": name, "scheme": "stripe", "secret": "STRIPE"}
    try:
        wiring.admit(Stack(stack.node.root, f"S{next(scopes)}"), [webhook], secrets)
    except DeployError as error:
        print(error)

admit("one", {"OTHER": secret})
wiring.webhooks.clear()
admit("one", {"STRIPE": secret})
admit("one", {"STRIPE": secret})
"""


def test_a_webhook_needs_its_secret_and_a_name_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", WEBHOOKS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    missing, twice = done.stdout.splitlines()
    assert missing == "webhook 'one': secrets= of add_app has no STRIPE; give it the secret of the webhook's sender"
    assert twice == "two apps declare a webhook 'one'; give one of them another name"
