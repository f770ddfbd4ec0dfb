"""Waits in the process for a run that is due in a moment: cheaper and more punctual than a delayed message.

The current message stays unacknowledged meanwhile, and the due time is in the run's head: if the process dies, nothing
is lost.
"""

from __future__ import annotations

from tidemill.ports import Clock, Queue

NEAR = 2_000  # milliseconds


class ShortTimers:
    """The functions' queues, except that `due` holds a wake of the current run in the next moment."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._last = 0
        self.run_id = ""
        self.due: int | None = None

    def hold(self, run_id: str, last: int) -> None:
        """Set the current run, which can be waited for until `last`."""
        self.run_id, self._last, self.due = run_id, last, None

    def release(self) -> None:
        """Unset the current run."""
        self.hold("", 0)

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        if run_id == self.run_id and at is not None and self._near(at):
            self.due = at
        else:
            self._queue.wake(run_id, function_id, at, loose)

    def _near(self, at: int) -> bool:
        now = self._clock.now()
        return now < self._last and at <= min(now + NEAR, self._last)

    def forget(self, run_id: str) -> None:
        self._queue.forget(run_id)
