"""The `Queue` port of the local world: the ready queue for now, the timer for later."""

from __future__ import annotations

from tidemill_local.server.ready import ReadyQueue
from tidemill_local.server.timers import Timers


class LocalQueue:
    timers: Timers  # set when there is a loop

    def __init__(self, ready: ReadyQueue) -> None:
        self._ready = ready

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:  # noqa: ARG002
        if at is None:
            self._ready.put(run_id, function_id)
        else:
            self.timers.note(at)

    def forget(self, run_id: str) -> None:
        """Nothing to delete: a timer is the run's due time, and an ended run has none."""
