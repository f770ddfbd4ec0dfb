"""The schemas of events at synth: a resource for each version, published where it converts, refused where not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from typing import Any

import pytest

# What `add_events` and `add_app` do with the schemas that are declared.
SCRIPT = """
import json, sys
from pathlib import Path
from aws_cdk import App, Stack, assertions, aws_events as events
from tidemill_cdk import DeployError, Settings
from tidemill_cdk.apps import manifest
from tidemill_cdk.apps.events import declare
from tidemill_cdk.names import Names
from tidemill_cdk.wiring import Wiring

token = "arn:aws:lambda:us-east-1:111122223333:function:registry"
for settings, *folders in json.loads(sys.argv[1]):
    stack = Stack(App(), "Stack")
    bus = events.EventBus.from_event_bus_name(stack, "Bus", "tidemill-prod")
    wiring = Wiring(Names("prod", stack), Settings(**settings), bus, None, token, stack, None)
    try:
        for folder in folders:
            declare(wiring, manifest.schemas(Path(folder)), f"add_events({folder!r})")
    except DeployError as error:
        print("refused:", error)
    else:
        print(json.dumps(assertions.Template.from_stack(stack).to_json()["Resources"]))
"""

# By name: what is in each folder, the settings. All in one process: to import the CDK takes seconds.
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "published": (
        [
            {"user/left/1": {"type": "object"}, "user/left/2": {"properties": {"a": {"const": 1}}}},
            {"user/left/1": {"type": "object"}},
        ],
        {},
    ),
    "no OpenAPI": ([{"x/1": {"if": {}}}], {}),
    "no schema": ([{"x/1": {"type": 3}}], {}),
    "no wheel": ([{"x/1": {}}], {"python": "3.11", "architecture": "arm64"}),
    "two": ([{"x/1": {"title": "a"}}, {"x/1": {"title": "b"}}], {}),
    "no folder": ([{}], {}),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By the name of the case: the resources as JSON, or why it was refused."""
    given = []
    for folders, settings in CASES.values():
        place = tmp_path_factory.mktemp("events")
        for number, schemas in enumerate(folders):
            for name, schema in schemas.items():
                file = place / str(number) / f"{name}.json"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(schema))
        given.append([{"python": "3.13", **settings}, *(str(place / str(number)) for number in range(len(folders)))])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(given)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, done.stdout.splitlines(), strict=True))


def test_each_version_has_a_resource_and_is_published(answers: dict[str, str]) -> None:
    found = json.loads(answers["published"])
    items = [each["Properties"] for each in found.values() if each["Type"] == "Custom::TidemillSchema"]
    assert [(each["Name"], each["Version"]) for each in items] == [("user/left", "1"), ("user/left", "2")]
    assert zlib.decompress(base64.b64decode(items[0]["Schema"])).decode() == '{"type":"object"}'
    published = [each["Properties"] for each in found.values() if each["Type"] == "AWS::EventSchemas::Schema"]
    assert [each["Type"] for each in published] == ["OpenApi3", "OpenApi3"]
    names = [each["SchemaName"] for each in published]
    assert len(set(names)) == 2
    assert all(name.startswith("user.left@") for name in names)
    detail = json.loads(published[1]["Content"])["components"]["schemas"]["Event"]["properties"]["data"]
    assert detail == {"properties": {"a": {"enum": [1]}}}
    assert len([each for each in found.values() if each["Type"] == "AWS::EventSchemas::Registry"]) == 1


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no OpenAPI", "cannot be published to EventBridge's schema registry: #/if: OpenAPI 3.0 has no 'if'"),
        ("no schema", "x/1.json: #/type: "),
        ("no wheel", "set tidemill:python to 3.12 or later"),
        ("two", "the event 'x' has two schemas for version '1', by add_events("),
        ("no folder", "there is no such folder"),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_the_reason(answers: dict[str, str], case: str, said: str) -> None:
    assert answers[case].startswith("refused:")
    assert said in answers[case]
