"""Parses one definition: from the text of a `*.function.json` file to what the engine runs.

    text ── strict_json ──► value ── schema ──► the parts of the value that have the right shape
                                                        │
        steps: runtimes, paths ◄────────────────────┼──► flow: triggers, flow control
                                 graph: edges ◄─────┘
                   (expressions: those of all three)

Each part notes the problems and continues with the rest, so that one error names everything at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill.core.definition import Definition, StepSpec
from tidemill.definitions import schema as definition_shape
from tidemill.definitions import strict_json
from tidemill.definitions.flow import cancel_of, flow_control, timeouts_of, triggers_of
from tidemill.definitions.graph import nodes_of
from tidemill.definitions.steps import step_of
from tidemill.limits import RETRIES_DEFAULT
from tidemill.model import FunctionSpec

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.declare.problems import Problems

APP = "definitions"  # the app of all functions without an SDK


def parse(data: bytes, folder: Path, problems: Problems) -> Definition | None:
    """The definition that lies in `folder`; None where something is wrong, and `problems` says what."""
    before = len(problems.found)
    value = strict_json.read(data, problems)
    if len(problems.found) > before:
        return None
    given = definition_shape.fit(value, problems)
    definition = _definition(given, _all_steps(value), folder, problems)
    return definition if len(problems.found) == before else None


def _all_steps(value: Any) -> list[str]:
    """Includes steps with the wrong shape: an edge from one of them must not get the error "there is no step"."""
    steps = cast("dict[str, Any]", value).get("steps") if isinstance(value, dict) else None
    return list(cast("dict[str, Any]", steps)) if isinstance(steps, dict) else []


def _definition(given: dict[str, Any], ids: list[str], folder: Path, problems: Problems) -> Definition:
    triggers = triggers_of(given.get("triggers", []), problems)
    steps: dict[str, dict[str, Any]] = {id: given.get("steps", {}).get(id, {}) for id in ids}
    spec = FunctionSpec(
        id=given.get("id", ""),
        app=APP,
        name=given.get("name", given.get("id", "")),
        triggers=triggers,
        retries=0,  # steps have their own retries; code between them cannot fail in a way that a retry fixes
        cancel_on=cancel_of(given.get("cancel", []), problems),
        timeouts=timeouts_of(given.get("timeouts", {}), problems),
        flow=flow_control(given, triggers, problems),
    )
    attempts = given.get("retries", {}).get("attempts", RETRIES_DEFAULT + 1)
    nodes = nodes_of(steps, problems)
    found: list[StepSpec] = []
    for id, node in nodes.items():
        step = step_of(steps[id], node, attempts, folder, problems)
        if step is not None:
            found.append(step)
    return Definition(spec, tuple(found), str(folder))
