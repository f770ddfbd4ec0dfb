"""Which tests judge which code: the nearest first, for most mistakes are found by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

LAYER = "layers/tidemill/python/tidemill"
SCENARIOS = ("tests/scenarios",)
SEEDS = ("simulation",)  # of the local world: some seeds of `make simulate`


@dataclass(frozen=True)
class Room:
    """Code of a kind. `tests`: one run of pytest after the other, until one fails."""

    name: str
    code: tuple[str, ...]
    tests: tuple[tuple[str, ...], ...]


def _unit(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/unit/{folder}/test_{name}.py" for name in names)


_FLOW = ("flow_control", "flow_pairs", "flow_reload", "flow_starts", "gathering")
FLOW = ("tests/unit/core/flow", *(f"tests/scenarios/test_{name}.py" for name in _FLOW))
ENGINE = (
    *_unit("engine/runs", "engine_doubles", "two_writers"),
    *_unit("engine/drive", "live", "replayed"),
    *_unit("core", "next_action", "state"),
)
LANGUAGE = (*_unit("core", "expression", "match", "pattern"), *_unit("definitions", "folder", "refused"))
HANDLERS = tuple(f"tests/lambdas/test_{name}.py" for name in (
    "ingest", "ingest_refusals", "api_events", "api_runs", "api_functions", "entry", "executor", "registry",
    "events_queue", "timers", "doors", "http"))  # fmt: skip

# The first room that a file fits is its own.
ROOMS = (
    Room("flow", (f"{LAYER}/core/flow/*.py", f"{LAYER}/engine/intake/admit.py", f"{LAYER}/engine/runs/concurrency.py",
                  f"{LAYER}/engine/intake/collect.py"), (FLOW, ENGINE, SEEDS)),
    Room("language", (f"{LAYER}/core/cel/*.py", f"{LAYER}/core/expression.py", f"{LAYER}/core/match.py",
                      f"{LAYER}/core/pattern.py"), (LANGUAGE, ("tests/docs/test_event_patterns.py", *SCENARIOS))),
    Room("views", (f"{LAYER}/core/view/*.py",), (
        (*_unit("core", "view"), "tests/lambdas/test_api_runs.py", "tests/lambdas/test_api_events.py"), SCENARIOS)),
    Room("graphs", (f"{LAYER}/core/graph.py", f"{LAYER}/core/definition.py", f"{LAYER}/engine/drive/graph.py"),
         ((*_unit("core", "graph"), *_unit("definitions", "folder")), ("tests/e2e/test_definitions.py",))),
    Room("core", (f"{LAYER}/core/*.py",), (
        (*_unit("core", "snapshot", "retry", "step_keys"), *ENGINE), SCENARIOS, SEEDS)),
    Room("engine", (f"{LAYER}/engine/*/*.py", f"{LAYER}/engine/drive/*/*.py"), (
        (*ENGINE, *_unit("engine/intake", "begin"), *SCENARIOS),
        ("tests/unit/core/flow", "tests/e2e/test_parked.py"), SEEDS)),
    Room("store", ("local/store/*.py",), (
        (*_unit("local/store", "sqlite", "file", "rollback"), "tests/contract"), FLOW, SCENARIOS)),
    Room("aws", tuple(f"{LAYER}/aws/{name}.py" for name in (
        "blobs", "messages/bus", "dynamo/table", "dynamo/events", "dynamo/flow_concurrency", "dynamo/flow_pool",
        "dynamo/flow_starts", "dynamo/heads", "dynamo/journals", "dynamo/run_lists", "dynamo/runs", "dynamo/keys",
        "dynamo/waits")), (("tests/contract", "tests/unit/aws"), ("tests/lambdas",))),
    Room("handlers", ("lambdas/*.py", "lambdas/*/*.py"), (HANDLERS, ("tests/lambdas",), ("tests/unit/aws",))),
)  # fmt: skip


def files(root: Path) -> dict[str, Room]:
    """The files of all rooms, each with its own."""
    found: dict[str, Room] = {}
    for room in ROOMS:
        for pattern in room.code:
            for path in sorted(root.glob(pattern)):
                found.setdefault(str(PurePath(path.relative_to(root))), room)
    return found
