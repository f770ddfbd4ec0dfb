"""Handles steps that hang: still executing past their timeout, or after their run was cancelled.

Only the process of code can be stopped from outside, not the code itself. So such a step has a grace period to end.
Then its slot, and with it its run's place, is released, and its worker is replaced: no run begins in it any more, and
it ends with its last other run. A worker that does not answer (its code holds Python's lock) is killed, without
counting an attempt of the other runs.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.core.state import fold
from tidemill.model import AtWork, Failure

if TYPE_CHECKING:
    from tidemill.ports import RunStore
    from tidemill_local.workers.dispatch import Dispatcher
    from tidemill_local.workers.pool import Worker, Workers
    from tidemill_local.workers.slots import Slot

GRACE = 5_000  # milliseconds


class Hanging:
    def __init__(
        self,
        loop: AbstractEventLoop,
        runs: RunStore,
        dispatcher: Dispatcher,
        workers: Workers,
        say: Callable[[str], None],
    ) -> None:
        self._loop, self._runs = loop, runs
        self._dispatcher, self._workers, self._say = dispatcher, workers, say

    def look(self, now: int) -> None:
        """Check once a second: executing steps are in memory, and only long ones need a query of the stores."""
        for worker in self._workers:
            for step in worker.board.at_work():
                if step.late(now, GRACE):
                    self._late(worker, step)
            for slot in self._dispatcher.busy(worker):
                if now > slot.since + GRACE:
                    self._long(worker, slot, now)

    def _long(self, worker: Worker, slot: Slot, now: int) -> None:
        if not slot.open:
            slot.close()  # its thread has ended, and its process continues
        elif (at := self._cancelled(slot)) is not None and now > at + GRACE:
            self._give_back(worker, slot, "it was cancelled and is still at work", None)

    def _late(self, worker: Worker, step: AtWork) -> None:
        attempt = (step.run_id, step.key, step.attempt)
        if attempt in worker.given_up:
            return
        worker.given_up.add(attempt)
        slot = next((slot for slot in self._dispatcher.busy(worker) if slot.serves(step.run_id)), None)
        what = f"step {step.key!r} is past its timeout of {step.timeout} ms and is still at work"
        if slot is None or step.since < slot.since or self._recorded(step):
            self._replace(worker, f"{what} (run {step.run_id})")  # its run has given it up and continued
            return
        message = f"the step took longer than its timeout of {step.timeout} ms, and did not end"
        self._give_back(worker, slot, what, Failure("StepTimeoutError", message))

    def _recorded(self, step: AtWork) -> bool:
        """Whether the journal has an outcome of this attempt."""
        state = fold(self._runs.read(step.run_id))
        tried = state.tried.get(step.key)
        return step.key in state.done or (tried is not None and tried.attempt >= step.attempt)

    def _cancelled(self, slot: Slot) -> int | None:
        """The time since which the slot's run is cancelled, if it is."""
        head = self._runs.head(slot.run.head.run_id) if slot.run is not None else None
        return head.ended_at if head is not None and head.status == "cancelled" else None

    def _give_back(self, worker: Worker, slot: Slot, what: str, failure: Failure | None) -> None:
        run = slot.run
        assert run is not None
        if failure is not None:
            self._dispatcher.crashes[run.head.run_id] = failure
        if self._dispatcher.worker is worker:
            self._dispatcher.use(None)  # a worker that cannot be stopped may not answer either
        slot.close()
        self._replace(worker, f"run {run.head.run_id} of {run.head.function_id}: {what}; its place is given back")

    def _replace(self, worker: Worker, what: str) -> None:
        self._say(f"{what}; worker {worker.pid} is replaced")
        self._workers.replace(worker)
        worker.ping()
        self._loop.call_later(GRACE / 1_000, self._check, worker)

    def _check(self, worker: Worker) -> None:
        if not worker.answered and worker in list(self._workers):
            self._say(f"worker {worker.pid} does not answer; it is killed, and its other runs go on in another")
            self._workers.end(worker)
