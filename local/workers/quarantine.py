"""Finds the run that ended a worker's process: each run that was executing in it continues in a separate worker.

A worker executes many runs at once, and a process that dies (a segmentation fault, `os._exit`, out of memory) does not
say which run was the cause. If only one run was executing, it is the cause. Otherwise all are suspects: none is
charged, each continues in a separate worker, and only a run whose worker dies again is guilty. A function with a guilty
run executes only here, with its own backoff, until one of its runs ends an execution without a crash or the code has
changed; all other functions continue normally.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill_local.workers.pool import Worker
    from tidemill_local.workers.slots import Slot

MOST = 4  # workers at once: each is a process with a load of the user's code
_BACKOFF = 0.1  # seconds, doubled with each death
_BACKOFF_MOST = 5.0
_AGAIN = 1.0  # seconds after which code that could not be loaded here is loaded again


@dataclass(slots=True)
class _Guilt:
    deaths: int = 0
    until: float = 0.0  # the loop's time


class Quarantine:
    """`isolate`: forks a worker with one slot, if possible. `again`: requests a turn of the loop.

    `release`: called for a run that need not stay here.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        isolate: Callable[[], bool],
        again: Callable[[], None],
        release: Callable[[str, str], None],
    ) -> None:
        self._loop, self._isolate, self._again, self._release = loop, isolate, again, release
        self._suspects: set[str] = set()
        self._guilty: dict[str, _Guilt] = {}
        self._queues: dict[str, dict[str, None]] = {}  # by function, in turn: its runs, in order
        self._slots: dict[Worker, Slot | None] = {}  # the existing workers; None: it has no slot yet
        self._busy: set[Worker] = set()
        self._coming = 0
        self._timer: TimerHandle | None = None

    def takes(self, run_id: str, function_id: str) -> bool:
        return run_id in self._suspects or function_id in self._guilty

    def put(self, run_id: str, function_id: str) -> None:
        self._queues.setdefault(function_id, {})[run_id] = None

    def suspect(self, run_ids: Iterable[str]) -> None:
        self._suspects.update(run_ids)

    def convict(self, run_id: str, function_id: str) -> None:
        """This run has ended its process: its function executes only here, with growing delays."""
        self._suspects.discard(run_id)
        guilt = self._guilty.setdefault(function_id, _Guilt())
        guilt.deaths += 1
        guilt.until = self._loop.time() + min(_BACKOFF * 2**guilt.deaths, _BACKOFF_MOST)

    def clear(self) -> None:
        """The code has changed: reset everything."""
        for function_id in list(self._guilty):
            self._pardon(function_id)

    def acquit(self, run_id: str, function_id: str) -> None:
        """The run's execution ended without a crash."""
        self.forget(run_id)
        self._pardon(function_id)

    def forget(self, run_id: str) -> None:
        """The run has nothing to do at present."""
        self._suspects.discard(run_id)

    def _pardon(self, function_id: str) -> None:
        if self._guilty.pop(function_id, None) is not None:
            queue = self._queues.pop(function_id, {})
            for run_id in queue:
                self._release(run_id, function_id)  # if the run is a suspect itself it comes back

    def next(self) -> tuple[Slot, str, str] | None:
        """The next run, with a slot for it. None: there is none, or no worker yet."""
        now = self._loop.time()
        function_id = next((each for each in self._queues if self._until(each) <= now), None)
        if function_id is None:
            self._wait(min(map(self._until, self._queues), default=None))
            return None
        slot = self._idle()
        if slot is None:
            return None
        queue = self._queues.pop(function_id)
        run_id = next(iter(queue))
        del queue[run_id]
        if queue:
            self._queues[function_id] = queue
        self._busy.add(slot.worker)
        return slot, run_id, function_id

    def joined(self, worker: Worker, *, loaded: bool) -> None:
        """A worker has loaded, or its code could not be loaded."""
        self._coming = max(0, self._coming - 1)
        if loaded:
            self._slots[worker] = None
            self._again()
        else:
            self._wait(self._loop.time() + _AGAIN)

    def freed(self, slot: Slot) -> bool:
        """The slot is idle. Returns whether to keep it."""
        self._busy.discard(slot.worker)
        if self._queues and slot.worker in self._slots and not slot.worker.draining:
            return True
        self._slots.pop(slot.worker, None)
        if not slot.worker.draining:
            slot.worker.drain()
        return False

    def lost(self, worker: Worker) -> None:
        self._busy.discard(worker)
        self._slots.pop(worker, None)

    def _until(self, function_id: str) -> float:
        guilt = self._guilty.get(function_id)
        return guilt.until if guilt is not None else 0.0

    def _idle(self) -> Slot | None:
        for worker, slot in self._slots.items():
            if worker not in self._busy:
                self._slots[worker] = slot = slot or worker.grow()
                if slot is not None:
                    return slot
        if len(self._slots) + self._coming < MOST:
            if self._isolate():
                self._coming += 1
            else:
                self._wait(self._loop.time() + _AGAIN)
        return None

    def _wait(self, until: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(until, self._again) if until is not None else None
