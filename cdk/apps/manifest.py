"""Reads an app's manifest with `tidemill manifest` in a separate process: the constructs import no user's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from tidemill_cdk.problems import DeployError

_PATIENCE = 120  # seconds to import an app


@dataclass(frozen=True)
class Declared:
    """A function declared by an app."""

    spec: dict[str, Any]  # the registry's entry: a FunctionSpec
    pattern: dict[str, Any] | None  # the pattern of its rule; None: it listens to no event
    retries: int | None = None  # the most retries of a step, unless the function sets them

    @property
    def text(self) -> str:
        """The spec as JSON, the same for the same function."""
        return json.dumps(self.spec, separators=(",", ":"), sort_keys=True)

    @property
    def id(self) -> str:
        return cast("str", self.spec["id"])


@dataclass(frozen=True)
class DeclaredSchema:
    """The schema of an event's version, as the JSON text that equal schemas share."""

    name: str
    v: str
    schema: str


@dataclass(frozen=True)
class Manifest:
    """All that an app declares."""

    functions: list[Declared]
    schemas: list[DeclaredSchema]
    webhooks: list[dict[str, Any]]  # as a WebhookSpec; `secret` is the variable


def read(entry: Path, target: str, environment: Mapping[str, str]) -> Manifest:
    """What `target` ("shop:app") in the folder `entry` declares. Raises DeployError with what the import said.

    `environment`: the Lambda's variables, which the app may read at import.
    """
    what = f"entry={str(entry)!r}, app={target!r}"
    said = json.loads(_run(["tidemill_local.cli", "manifest", "--all", target], entry, environment, what))
    return Manifest(_declared(json.dumps(said["functions"])), _schemas(said["events"]), said["webhooks"])


def schemas(folder: Path) -> list[DeclaredSchema]:
    """The schemas of a folder's files `<name>/<version>.json`. Raises DeployError with every problem."""
    if not folder.is_dir():
        raise DeployError(f"add_events({str(folder)!r}): there is no such folder")
    what = f"add_events({str(folder)!r})"
    return _schemas(json.loads(_run(["tidemill_local.cli.schemas", str(folder)], Path.cwd(), {}, what)))


def _schemas(found: list[dict[str, Any]]) -> list[DeclaredSchema]:
    return [DeclaredSchema(one["name"], one["v"], _text(one["schema"])) for one in found]


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Defined:
    """A function that is a definition: its declaration, and its steps in the executor's format."""

    declared: Declared
    definition: dict[str, Any]

    @property
    def id(self) -> str:
        return self.declared.id

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [{**step, "id": step["node"]["id"]} for step in self.definition["steps"]]

    @property
    def folder(self) -> Path:
        return Path(self.definition["folder"])


def definitions(path: Path) -> list[Defined]:
    """The `*.function.json` of a folder, or one such file. Raises DeployError with every problem."""
    said = json.loads(
        _run(["tidemill_local.cli.defined", str(path)], Path.cwd(), {}, f"add_definitions({str(path)!r})")
    )
    declared = {one.id: one for one in _declared(json.dumps(said["functions"]))}
    found: list[Defined] = []
    for one in said["definitions"]:
        most = max(step["attempts"] for step in one["steps"]) - 1
        found.append(Defined(replace(declared[one["spec"]["id"]], retries=most), one))
    return found


def plain(function_id: str, declaration: Mapping[str, Any]) -> Declared:
    """The arguments of `attach`, checked like those of `@app.function`. Raises DeployError with every problem."""
    said = _run(["tidemill_local.cli.plain"], Path.cwd(), {}, f"function_id={function_id!r}", json.dumps(declaration))
    return _declared(said)[0]


def _declared(text: str) -> list[Declared]:
    found: list[Declared] = []
    for one in json.loads(text):
        pattern = one.pop("pattern")
        found.append(Declared(one, pattern))
    return found


def _run(words: list[str], folder: Path, environment: Mapping[str, str], what: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", *words]
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module
            command,
            cwd=folder,
            env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"{what}: importing it took more than {_PATIENCE} s; it must not wait for anything") from None
    except OSError as error:
        raise DeployError(f"{what}: {error.strerror or error}") from None
    if done.returncode:
        why = done.stderr.strip().removeprefix("tidemill: ") or f"it ended with code {done.returncode}"
        raise DeployError(f"{what}: what it declares cannot be read: {why}")
    return done.stdout
