"""One synth for the whole session, whichever worker asks first: it takes half a minute. While a test is written, the
variable ASSEMBLY may name the folder of one that is there: `python tests/cdk/stacks.py FOLDER` makes it.

The stacks are those of a user: `whole` has every kind of thing; `after` has one function more than `before`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cdk.policies import resolved

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the cloud assembly."""
    if "ASSEMBLY" in os.environ:
        return Path(os.environ["ASSEMBLY"])
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base  # one for all workers of xdist
    out = shared / "cdk.out"
    with (shared / "synth.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "manifest.json").exists():
            subprocess.run([sys.executable, HERE / "stacks.py", out], check=True, cwd=HERE)
    return out


class Template:
    """A synthesized template, asked by type."""

    def __init__(self, path: Path) -> None:
        self.body: dict[str, Any] = json.loads(path.read_text())
        self.resources: dict[str, Any] = self.body["Resources"]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Logical id to properties of all resources of a type."""
        return {name: one.get("Properties", {}) for name, one in self.resources.items() if one["Type"] == kind}

    def named(self, kind: str, property: str, value: str) -> dict[str, Any]:
        (found,) = [one for one in self.of(kind).values() if one.get(property) == value]
        return found


def queues_of(template: Template, id: str) -> dict[str, Any]:
    """What the registry is asked to make for a function: names, and the attributes of both queues."""
    (found,) = [
        one["Queues"]
        for one in template.of("Custom::TidemillFunction").values()
        if json.loads(one["Function"])["id"] == id
    ]
    made: dict[str, Any] = resolved(found)
    return made


@pytest.fixture(scope="session")
def whole(synthesized: Path) -> Template:
    return Template(synthesized / "Whole.template.json")


@pytest.fixture(scope="session")
def before(synthesized: Path) -> Template:
    return Template(synthesized / "one" / "Shop.template.json")


@pytest.fixture(scope="session")
def after(synthesized: Path) -> Template:
    return Template(synthesized / "two" / "Shop.template.json")


@pytest.fixture(scope="session")
def defined(synthesized: Path) -> Template:
    return Template(synthesized / "Defined.template.json")


@pytest.fixture(scope="session")
def inside(synthesized: Path) -> Template:
    return Template(synthesized / "two" / "Inside.template.json")


@pytest.fixture(scope="session")
def fewer(synthesized: Path) -> Template:
    return Template(synthesized / "one" / "Graphs.template.json")


@pytest.fixture(scope="session")
def more(synthesized: Path) -> Template:
    return Template(synthesized / "two" / "Graphs.template.json")


@pytest.fixture(scope="session")
def joined(synthesized: Path) -> Template:
    return Template(synthesized / "Joined.template.json")


@pytest.fixture(scope="session")
def patterns(synthesized: Path) -> Template:
    return Template(synthesized / "two" / "Patterns.template.json")


def pattern_of(rule: dict[str, Any]) -> dict[str, Any]:
    """As EventBridge is given it: from text, or from an object in which CloudFormation keeps no null."""
    found = rule["EventPattern"]
    parsed: dict[str, Any] = json.loads(found) if isinstance(found, str) else without_nulls(found)
    return parsed


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value if one is not None]
    return value
