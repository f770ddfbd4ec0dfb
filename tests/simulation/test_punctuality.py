"""A sleep of a year ends as punctually as one of a second, though Scheduler is precise to a minute only.

In the cloud of `cloud`, where nothing fails: schedules fire up to a minute late, messages take up to 40 ms, one Lambda
in ten is a new process and takes up to 1.2 s, clocks are up to 100 ms apart.
"""

from __future__ import annotations

import random
from statistics import median

import pytest
from simulation.aws_system import AwsSystem
from simulation.invariants import all_heads, broken
from simulation.scenario import Op, Program, Scenario, Sent

from tidemill.core.journal import Suspended

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
EDGES = (
    SECOND, 1_999, 2_000, 2_001, 10 * SECOND, MINUTE, 14 * MINUTE + 59_999, 15 * MINUTE, 15 * MINUTE + 1,
    15 * MINUTE + 14_999, 15 * MINUTE + 15_001, 16 * MINUTE, 17 * MINUTE + 1, HOUR, DAY, 31 * DAY, 366 * DAY,
)  # fmt: skip


class Punctual(AwsSystem):
    skew = 100
    horizon = 30 * 366 * DAY


def lateness(lengths: list[int], seed: int) -> list[int]:
    """By how many ms the code went on too late after sleeps of these lengths, in ten runs of a function."""
    ops: list[Op] = [op for n, ms in enumerate(lengths) for op in (["sleep", f"s{n}", ms], ["run", f"r{n}", 0])]
    sent = [Sent(n * 137, "e/start", "ann", n) for n in range(10)]
    programs = [
        Program("f", ops, on="e/start"),
        Program("listener", [["run", "l", 0]], on="tidemill/function.finished"),
    ]
    system = Punctual(Scenario(seed, programs, sent, 0, 0, seed))
    try:
        system.run()
        assert broken(system) == []
        runs = [head.run_id for head in all_heads(system) if head.function_id == "sim.f"]
        assert len(runs) == len(sent)
        return [late for run_id in runs for late in _late(system, run_id, len(lengths))]
    finally:
        system.close()


def _late(system: AwsSystem, run_id: str, count: int) -> list[int]:
    """Of each sleep, from the time for which it was recorded to the code that followed."""
    dues = [record.due for record in system.stores.runs.read(run_id) if isinstance(record, Suspended) and record.due]
    began = [execution.began for execution in system.executions if execution.run_id == run_id]
    assert len(dues) == len(began) == count
    return [at - due for at, due in zip(began, dues, strict=True)]


@pytest.mark.parametrize("ms", EDGES)
def test_every_length_is_on_time(ms: int) -> None:
    found = lateness([ms, ms, ms], seed=ms)
    assert median(found) < 1_000
    assert max(found) < 3_000
    assert min(found) > -500  # clocks differ, and none wakes a run before its time by more than that


@pytest.mark.parametrize("seed", range(10))
def test_sleeps_of_random_lengths_are_on_time(seed: int) -> None:
    rng = random.Random(seed)
    found = lateness([int(10 ** rng.uniform(3, 10.4)) for _ in range(8)], seed)
    assert median(found) < 1_000
    assert max(found) < 3_000
