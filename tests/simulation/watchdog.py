"""Liveness: what one message may ask of the stores. A loop that waits for somebody else is found here, in every world.

In most worlds each call lets others take their turns, so a loop whose exit depends on them ends by luck, after
thousands of writes. In a real server nobody else has a turn, and it never ends. Both are the same fault.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from simulation.loop import Killed, Loop

CALLS = 1_500  # of one message: a wide map that begins or is cancelled needs some 1,000
TURNS = 150  # of one loop: the same question asked again by one message; most ask some 30 times, a singleton's some 130


class Watchdog:
    def __init__(self, loop: Loop, calls: int = CALLS, turns: int = TURNS) -> None:
        self._loop = loop
        self._calls = calls
        self._turns = turns
        self.most = 0  # calls of one message
        self.longest = 0  # turns of one loop

    def note(self, name: str, args: Sequence[Any]) -> None:
        """The current actor makes this call. Raises Killed, and ends the simulation, where that is one too many."""
        actor = self._loop.actor
        if actor is None:
            return
        work = actor.work
        work[""] += 1
        turn: Hashable = (name, *(_plain(each) for each in args[:3]))
        work[turn] += 1
        self.most, self.longest = max(self.most, work[""]), max(self.longest, work[turn])
        if work[""] > self._calls:
            self._over(f"{actor.name} spins: {work['']} calls for one message, most of all {_most(actor.work)}")
        if work[turn] > self._turns:
            self._over(f"{actor.name} spins: it asks {turn} for the {work[turn]}th time")

    def _over(self, problem: str) -> None:
        self._loop.alarms.append(problem)
        raise Killed


def _plain(argument: Any) -> Hashable:
    """What tells this argument from others: by its value, or by the run and step that it is about."""
    if isinstance(argument, str | int):
        return argument
    return getattr(argument, "run_id", None), getattr(argument, "key", None), getattr(argument, "id", None)


def _most(work: Any) -> list[Any]:
    return [each for each in work.most_common(4) if each[0] != ""]
