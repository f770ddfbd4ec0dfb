"""An hour in which Lambda and the table throttle: nothing is lost by it, and minutes after its end all is done.

Each message has its visibility timeout and its count of receives, as SQS gives them: a Lambda that is throttled leaves
the message to the timeout, and the receive counts; one that meets a throttled table has it come again sooner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import msgspec
import pytest
from simulation.aws_system import VISIBILITY, AwsSystem
from simulation.cloud import Letter, Queue
from simulation.invariants import all_heads, broken
from simulation.ports import Faulty
from simulation.scenario import Program, Scenario, Sent
from simulation.system import START

from tidemill.errors import Unavailable
from tidemill.ports import World

MINUTE, HOUR = 60_000, 3_600_000
RECEIVES = 500  # as CDK sets it
TRIES = 3_000  # milliseconds that a call goes on trying before it is unavailable


class Throttled:
    """A store of which AWS refuses most calls for an hour."""

    def __init__(self, system: Overloaded, port: Faulty) -> None:
        self._system = system
        self._port = port

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*args: Any, **options: Any) -> Any:
            if self._system.overloaded(0.5):
                self._system.loop.pause(TRIES)
                raise Unavailable(f"{name} was throttled")
            return method(*args, **options)

        return call


class Overloaded(AwsSystem):
    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        for queue in self.cloud.queues.values():
            queue.attempts = RECEIVES

    def overloaded(self, chance: float) -> bool:
        return self.loop.now < START + HOUR and self.loop.random.random() < chance

    def _world(self) -> World:
        world = super()._world()
        stores = {
            field.name: Throttled(self, getattr(world, field.name))
            for field in fields(world)
            if isinstance(getattr(world, field.name), Faulty)
        }
        return replace(world, **stores)

    def deliver_letter(self, queue: Queue, letter: Letter) -> None:
        if self.overloaded(0.7):
            self.cloud.again(queue, letter, VISIBILITY)
        else:
            super().deliver_letter(queue, letter)


@pytest.mark.parametrize("seed", range(6))
def test_an_hour_of_overload_loses_nothing_and_is_made_good_within_minutes(seed: int) -> None:
    ops = [["run", "a", 0], ["run", "b", 0], ["sleep", "s", 20_000], ["run", "c", 0]]
    programs = [
        Program("f", ops, on="e/start"),
        Program("g", [["run", "x", 0]], on="e/start"),
        Program("listener", [["run", "l", 0]], on="tidemill/function.finished"),
    ]
    sent = [Sent(n * HOUR // 30, "e/start", "ann", n) for n in range(30)]
    system = Overloaded(Scenario(seed, programs, sent, 0, 0, seed))
    try:
        system.run()
        assert broken(system) == []
        heads = all_heads(system)
        failed = {head.run_id for head in heads if head.status != "completed"}
        # Three executors in a row that could tell nobody that they gave up count as three crashes: at half of all
        # calls refused, one run in about 1,300. It says so, and its late messages are dead letters.
        assert len(failed) <= 1
        letters = [letter for found in system.cloud.letters.values() for letter in found]
        assert [letter for letter in letters if msgspec.json.decode(letter.body).get("look") not in failed] == []
        assert len(heads) == 4 * len(sent)
        assert max(head.ended_at or 0 for head in heads) < START + HOUR + 5 * MINUTE
    finally:
        system.close()
