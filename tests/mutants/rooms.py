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


FLOW = ("tests/unit/flow", "tests/scenarios/test_flow_control.py", "tests/scenarios/test_flow_pairs.py",
        "tests/scenarios/test_flow_reload.py", "tests/scenarios/test_flow_starts.py",
        "tests/scenarios/test_gathering.py")  # fmt: skip
ENGINE = ("tests/unit/test_engine_doubles.py", "tests/unit/test_two_writers.py", "tests/unit/test_live.py",
          "tests/unit/test_tape.py", "tests/unit/test_look.py", "tests/unit/test_state.py")  # fmt: skip
LANGUAGE = ("tests/unit/test_expression.py", "tests/unit/test_match.py", "tests/unit/test_pattern.py",
            "tests/unit/test_definitions.py", "tests/unit/test_definitions_refused.py")  # fmt: skip
HANDLERS = tuple(f"tests/lambdas/test_{name}.py" for name in (
    "ingest", "ingest_refusals", "api_events", "api_runs", "api_functions", "entry", "executor", "registry",
    "events_queue", "timers", "doors", "http"))  # fmt: skip

# The first room that a file fits is its own.
ROOMS = (
    Room("flow", (f"{LAYER}/core/flow/*.py", f"{LAYER}/engine/intake/admit.py", f"{LAYER}/engine/runs/concurrency.py",
                  f"{LAYER}/engine/intake/collect.py"), (FLOW, ENGINE, SEEDS)),
    Room("language", (f"{LAYER}/core/cel/*.py", f"{LAYER}/core/expression.py", f"{LAYER}/core/match.py",
                      f"{LAYER}/core/pattern.py"), (LANGUAGE, ("tests/docs/test_event_patterns.py", *SCENARIOS))),
    Room("views", (f"{LAYER}/core/view/*.py",), (("tests/unit/test_view.py", "tests/lambdas/test_api_runs.py",
                                                  "tests/lambdas/test_api_events.py"), SCENARIOS)),
    Room("graphs", (f"{LAYER}/core/graph.py", f"{LAYER}/core/definition.py", f"{LAYER}/engine/drive/graph.py"),
         (("tests/unit/test_graph.py", "tests/unit/test_definitions.py"), ("tests/e2e/test_definitions.py",))),
    Room("core", (f"{LAYER}/core/*.py",), (("tests/unit/test_snapshot.py", "tests/unit/test_retry.py",
                                            "tests/unit/test_step_keys.py", *ENGINE), SCENARIOS, SEEDS)),
    Room("engine", (f"{LAYER}/engine/*/*.py", f"{LAYER}/engine/drive/*/*.py"), (
        (*ENGINE, "tests/unit/test_arrive.py", *SCENARIOS), ("tests/unit/flow", "tests/e2e/test_parked.py"), SEEDS)),
    Room("store", ("local/store/*.py",), (("tests/unit/test_store_sqlite.py", "tests/unit/test_store_file.py",
                                           "tests/unit/test_store_rollback.py", "tests/contract"), FLOW, SCENARIOS)),
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
