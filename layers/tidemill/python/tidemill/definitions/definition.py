"""One definition: from the text of a `*.function.json` to what the engine runs.

    text ── definition_json ──► value ── definition_shape ──► what of it has the right shape
                                                                │
        definition_steps: runtimes, paths ◄─────────────────────┼──► definition_flow: triggers, flow control
                                        definition_graph: edges ◄┘
                          (definition_cel: the expressions of all of them)

Each part notes what is wrong and goes on with what is right, so that one error names everything at once.
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
    """Those with the wrong shape, too: what comes after one of them is not to be told that there is no such step."""
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
        retries=0,  # each step has its own; between them nothing can fail that another attempt would mend
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
