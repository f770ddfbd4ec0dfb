"""Loads the functions of a Lambda that runs definitions, from the JSON file that TIDEMILL_DEFINITIONS names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tidemill.aws.runtimes.by_kind import runtimes
from tidemill.aws.runtimes.context import places
from tidemill.aws.runtimes.ends import Ends
from tidemill.core.definition import Definition
from tidemill.engine.drive.graph import graph_function
from tidemill.sdk.function import Function


@cache
def read(path: str) -> tuple[Definition, ...]:
    """Raises OSError, or a decoding error if the file holds no definitions."""
    return msgspec.json.decode(Path(path).read_bytes(), type=tuple[Definition, ...])


def functions(environment: Mapping[str, str]) -> dict[str, Function[Any, Any]]:
    found = read(environment["TIDEMILL_DEFINITIONS"])
    known = runtimes(environment, kinds(found))
    return {one.spec.id: graph_function(one, known) for one in found}


def kinds(definitions: tuple[Definition, ...]) -> frozenset[str]:
    return frozenset(str(step.runtime.__struct_config__.tag) for one in definitions for step in one.steps)


def ends(environment: Mapping[str, str]) -> Ends:
    from tidemill.aws import world

    where = places(world.client(), world.settings(), world.world().blobs, world.world().clock.now)
    return Ends(where, read(environment["TIDEMILL_DEFINITIONS"]), environment.get("TIDEMILL_TASK_LOGS", ""))
