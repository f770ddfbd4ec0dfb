"""The schemas of events at synth: a resource for each version, published where it converts, refused where not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path
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

settings, *folders = json.loads(sys.argv[1])
stack = Stack(App(), "Stack")
bus = events.EventBus.from_event_bus_name(stack, "Bus", "tidemill-prod")
token = "arn:aws:lambda:us-east-1:111122223333:function:registry"
wiring = Wiring(Names("prod", stack), Settings(**settings), bus, None, token, stack, None)
try:
    for folder in folders:
        declare(wiring, manifest.schemas(Path(folder)), f"add_events({folder!r})")
except DeployError as error:
    print("refused:", error)
else:
    print(json.dumps(assertions.Template.from_stack(stack).to_json()["Resources"]))
"""


def synth(*folders: Path, **settings: str) -> str:
    given = json.dumps([{"python": "3.13", **settings}, *map(str, folders)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, given], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def folder(place: Path, **schemas: dict[str, Any]) -> Path:
    for name, schema in schemas.items():
        file = place / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))
    return place


def test_each_version_has_a_resource_and_is_published(tmp_path: Path) -> None:
    one = folder(tmp_path / "a", user__left__1={"type": "object"}, user__left__2={"properties": {"a": {"const": 1}}})
    same = folder(tmp_path / "b", user__left__1={"type": "object"})
    found = json.loads(synth(one, same))
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
    ("schema", "settings", "said"),
    [
        ({"if": {}}, {}, "cannot be published to EventBridge's schema registry: #/if: OpenAPI 3.0 has no 'if'"),
        ({"type": 3}, {}, "x/1.json: #/type: "),
        ({}, {"python": "3.11", "architecture": "arm64"}, "set tidemill:python to 3.12 or later"),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_the_reason(
    tmp_path: Path, schema: dict[str, Any], settings: dict[str, str], said: str
) -> None:
    answer = synth(folder(tmp_path, x__1=schema), **settings)
    assert answer.startswith("refused:")
    assert said in answer


def test_two_schemas_for_one_version_are_refused(tmp_path: Path) -> None:
    answer = synth(folder(tmp_path / "a", x__1={"title": "a"}), folder(tmp_path / "b", x__1={"title": "b"}))
    assert "the event 'x' has two schemas for version '1', by add_events(" in answer


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such folder" in synth(tmp_path / "gone")
