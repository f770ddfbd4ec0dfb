"""Delivers the outcomes of steps to async code in the order of the journal, one at a time.

An outcome is delivered when the code has finished with the one before: every task waits. The first execution delivers
outcomes through the same gate as each replay, so code that races its steps (`asyncio.wait`, `as_completed`, a
TaskGroup) takes the same branch in all of them, even if two steps ended in one turn of the loop. While outcomes wait
for delivery, the clock of the loop is stopped: no timer gives up a step that the journal already has.

A step that the journal does not know begins after all known outcomes are delivered. If the next step in the journal is
one that the code has not reached, and timers of the code are pending (`asyncio.timeout` around a step), these timers
led there: the clock of the loop is advanced to them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

from tidemill.engine.drive.replayed import Replayed

LAST = 2**62  # the turn of steps that the journal does not know
_JUMPS = 100  # a timer that a library sets again and again leads nowhere


class Gate:
    def __init__(self, replayed: Replayed) -> None:
        self._replayed = replayed
        self._line: list[tuple[int, int, asyncio.Future[None], str]] = []  # turn, arrival, who waits, its step
        self._count = itertools.count()
        self._jumps = 0

    @property
    def closed(self) -> bool:
        """Whether a step that is not remembered has to wait: something that is has yet to be told."""
        return bool(self._line) or bool(self._replayed.uncalled)

    @property
    def telling(self) -> bool:
        """Whether the first in line is told an outcome; else it begins a step, or there is none."""
        self._drop_given_up()
        return bool(self._line) and self._line[0][0] < LAST

    async def passed(self, turn: int, key: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (turn, next(self._count), future, key))
        await future

    def hear(self) -> None:
        """Outsiders may have ended steps that wait to begin: each now has the turn that the journal gives it."""
        turns = self._replayed.live.state.completion_order
        if any(turn == LAST and key in turns for turn, _, _, key in self._line):
            self._line = [(turns.get(each[3], LAST) if each[0] == LAST else each[0], *each[1:]) for each in self._line]
            heapq.heapify(self._line)

    def untimely(self) -> bool:
        """Whether something that the code has not reached comes before the first in line."""
        self._drop_given_up()
        if not self._line or self._jumps >= _JUMPS:
            return False
        missing = self._replayed.next_turn(LAST)
        if missing is None or missing > self._line[0][0]:
            return False
        self._jumps += 1
        return True

    def open(self) -> bool:
        """Let the first in the queue pass. False: there is none."""
        self._drop_given_up()
        if not self._line:
            return False
        heapq.heappop(self._line)[2].set_result(None)
        return True

    def _drop_given_up(self) -> None:
        while self._line and self._line[0][2].done():
            heapq.heappop(self._line)
