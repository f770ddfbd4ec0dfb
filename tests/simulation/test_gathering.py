"""A burst under one key is gathered into as few runs as it fits in, however slow the store: measured, not only held.

Every call to a store takes 1 to 20 ms here, and each event of a burst is handled by an executor of its own.
"""

from __future__ import annotations

from typing import Any

import pytest
from simulation.aws_system import AwsSystem
from simulation.invariants import broken
from simulation.scenario import Program, Scenario, Sent
from simulation.system import System

WORLDS = {"local": System, "aws": AwsSystem}


def _runs(world: str, seed: int, flow: dict[str, Any], times: list[int]) -> list[tuple[str, ...]]:
    """The events of each run that begins, by what was sent at these times; nothing fails."""
    program = Program("f", [["run", "s", 0]], on="e/start", flow=flow)
    listener = Program("listener", [["run", "l", 0]], on="tidemill/function.finished")
    sent = [Sent(at, "e/start", "ann", number) for number, at in enumerate(times)]
    system = WORLDS[world](Scenario(seed, [program, listener], sent, faults=0, stalls=0, fault_seed=seed))
    try:
        system.run()
        assert broken(system) == []
        heads = [system.stores.runs.head(run_id) for run_id in system.stores.all_runs()]
        begun = [head for head in heads if head is not None and head.started_at is not None]
        return [head.event_ids for head in begun if head.function_id == "sim.f"]
    finally:
        system.close()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(6))
def test_eight_edits_of_one_document_at_once_make_one_run(world, seed):
    (events,) = _runs(world, seed, {"debounce": [10, None, None]}, [0] * 8)
    assert len(set(events)) == 8


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(6))
def test_five_events_at_once_make_one_batch_of_five(world, seed):
    (events,) = _runs(world, seed, {"batch": [5, 30, None]}, [0] * 5)
    assert len(set(events)) == 5


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seed", range(3))
def test_more_events_at_once_than_a_batch_holds(world, seed):
    runs = _runs(world, seed, {"batch": [10, 30, None]}, [0] * 23)
    assert sorted(map(len, runs)) == [3, 10, 10]


def test_a_window_that_takes_a_hundred_events_a_second():
    """What docs/aws/flow-in-aws.md promises, under latencies as AWS has them and clocks two seconds apart."""
    alone = 0
    for seed in range(5):
        runs = sorted(map(len, _runs("aws", seed, {"batch": [100, 10, None]}, [10 * number for number in range(300)])))
        assert sum(runs) == 300
        assert runs[-3] >= 98, "every batch but these is full"
        alone += len(runs) - 3
    assert alone <= 5, "of 1,500 events these began a batch of their own, beside the one that was filling"
