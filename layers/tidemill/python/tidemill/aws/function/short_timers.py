"""What is due in a moment is waited for in the process: cheaper and more punctual than a message with a delay.

The message that is being worked off stays unacknowledged meanwhile, and the due time is in the run's head: if the
process dies, nothing is lost.
"""

from __future__ import annotations

from tidemill.ports import Clock, Queue

NEAR = 2_000  # milliseconds


class ShortTimers:
    """The functions' queues; but when the run at hand is to be looked at in a moment, `due` says when instead."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._last = 0
        self.run_id = ""
        self.due: int | None = None

    def hold(self, run_id: str, last: int) -> None:
        """From now on this run is at hand, and can be waited for until `last`."""
        self.run_id, self._last, self.due = run_id, last, None

    def release(self) -> None:
        """No run is at hand."""
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
