"""Assigns ready runs to slots: claims them for idle slots and pushes them there, each function in turn.

Few runs begin at once. Slots are threads of one process and take turns, so thirty runs that begin together all end
late; one after another most would end early, for the same work. A slot with a new run that has not sent a request yet
counts as beginning, for at most 2 ms: code that waits for something else blocks no other run.

A run is checked only when a slot is idle, and it is claimed and pushed in the same turn of the loop: a new event, its
run and the claim are one commit. Slots are taken from a stack, so that an idle server uses the same few threads again
and again, and more are started only when all are busy.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tidemill.core.journal import HandedOver, Record
from tidemill.core.state import fold
from tidemill.engine.drive.claim import Opened, attend, open_run
from tidemill.engine.runs.append import append
from tidemill.model import Failure, HeadChange
from tidemill_local.server.ready import ReadyQueue
from tidemill_local.store.errors import StoreError
from tidemill_local.workers.claims import FOREVER, Claims
from tidemill_local.workers.quarantine import Quarantine

if TYPE_CHECKING:
    from tidemill.ports import World
    from tidemill_local.console.lines import Console
    from tidemill_local.server.tick import Tick
    from tidemill_local.workers.pool import Worker
    from tidemill_local.workers.slots import Slot


BEGINNING_MOST = 4
BEGINNING_SECONDS = 0.002


class Dispatcher:
    """The owner of all slots, and the consumer of the ready queue."""

    def __init__(self, world: World, ready: ReadyQueue, claims: Claims, console: Console) -> None:
        self.worker: Worker | None = (
            None  # the worker with the latest code; None until the first load, or during a restart
        )
        self.tick: Tick
        self.quarantine: Quarantine
        self.crashes: dict[str, Failure] = {}  # why the last executor of these runs died, until they are claimed
        self.popped: Callable[[str], None] = _ignore  # called for each run that leaves the ready queue
        self.stopping = False
        self._world = world
        self._ready = ready
        self._claims = claims
        self._console = console
        self._idle: list[Slot] = []
        self._busy: dict[Slot, None] = {}
        self._alone: dict[Slot, tuple[str, str]] = {}  # of slots in quarantine: run and function
        self._late: deque[tuple[str, str]] = deque()  # runs due that may need no slot
        self._beginning: dict[Slot, float] = {}  # when each got its run, the oldest first
        self._timer: TimerHandle | None = None

    def use(self, worker: Worker | None) -> None:
        """Send runs to this worker from now on; release idle slots of all others."""
        self.worker = worker
        for slot in [slot for slot in self._idle if slot.worker is not worker]:
            slot.close()
        if self._ready:
            self.tick.arm()

    def busy(self, worker: Worker | None = None) -> list[Slot]:
        """The busy slots (of this worker)."""
        return [slot for slot in self._busy if worker is None or slot.worker is worker]

    def wake(self, run_id: str, function_id: str) -> None:
        """A run is due. Its timeouts are handled even while no slot is idle."""
        spec = self._world.registry.function(function_id)
        if spec is None or spec.timeouts.finish or spec.timeouts.start:
            self._late.append((run_id, function_id))
        else:
            self._ready.put(run_id, function_id)

    def pump(self) -> None:
        """Assign ready runs to idle slots, until there are no more of one or the other."""
        while self._late:
            self._attend(*self._late.popleft())
        while not self.stopping and (alone := self.quarantine.next()) is not None:
            self._go_on_alone(*alone)
        while self._ready and self.worker is not None and not self.stopping:
            if self._crowded():
                return
            slot = self._idle[-1] if self._idle else self.worker.grow()
            if slot is None:
                return
            if not self._idle:
                self._idle.append(slot)
            run_id, function_id = self._ready.pop()
            self.popped(run_id)
            if self.quarantine.takes(run_id, function_id):
                self.quarantine.put(run_id, function_id)
                self.tick.arm()
            elif self._open(slot, run_id, function_id):
                self._idle.pop()

    def _go_on_alone(self, slot: Slot, run_id: str, function_id: str) -> None:
        if self._open(slot, run_id, function_id):
            self._alone[slot] = (run_id, function_id)
        else:
            self.quarantine.forget(run_id)
            self._keep_alone(slot)

    def _attend(self, run_id: str, function_id: str) -> None:
        try:
            done = attend(self._world, run_id)
        except StoreError as error:
            self._late.append((run_id, function_id))
            self.tick.fail(error)
            raise
        except Exception as error:  # as for `_open`
            self._console.trouble(f"run {run_id} of {function_id} cannot go on: {error}")
            done = True
        if done:
            self.popped(run_id)
        else:
            self._ready.put(run_id, function_id)

    def _open(self, slot: Slot, run_id: str, function_id: str) -> bool:
        """Claim the run for this slot and push it there. False: the run needs no slot now."""
        by = self._claims.new()
        try:
            opened = open_run(self._world, run_id, by, FOREVER)
        except StoreError as error:
            self._ready.put(run_id, function_id)
            self.tick.fail(error)
            raise
        except Exception as error:  # one damaged journal must not stop all other runs
            self._claims.drop(by)
            self._console.trouble(f"run {run_id} of {function_id} cannot go on: {error}")
            return False
        if opened is None:
            self._claims.drop(by)
            self.crashes.pop(run_id, None)
            return False
        self._busy[slot] = None
        self._beginning[slot] = asyncio.get_running_loop().time()
        slot.since = self._world.clock.now()
        slot.assign(opened, by, self.crashes.pop(run_id, None))
        if opened.head.finish_by is not None:
            self._world.queue.wake(run_id, function_id, opened.head.finish_by)
        return True

    def _crowded(self) -> bool:
        """Whether enough runs are beginning; then the next waits for a request of one of them, or a short time."""
        loop = asyncio.get_running_loop()
        while self._beginning:
            slot, since = next(iter(self._beginning.items()))
            if loop.time() - since < BEGINNING_SECONDS:
                break
            del self._beginning[slot]
        if len(self._beginning) < BEGINNING_MOST:
            return False
        if self._timer is None:
            self._timer = loop.call_later(BEGINNING_SECONDS, self._look_again)
        return True

    def _look_again(self) -> None:
        self._timer = None
        self.tick.arm()

    # --- reports of slots ------------------------------------------------------------------------------

    def heard(self, slot: Slot) -> None:
        if self._beginning.pop(slot, None) is not None and self._ready:
            self.tick.arm()

    def free(self, slot: Slot) -> None:
        if slot.worker.alone:
            self._free_alone(slot)
            return
        self._release(slot)
        if slot.worker is not self.worker or self.stopping:
            slot.retire()
            return
        self._idle.append(slot)
        if self._ready:
            self.tick.arm()

    def lost(self, slot: Slot) -> None:
        if slot in self._idle:
            self._idle.remove(slot)
        self._release(slot)
        if slot.worker.alone:
            self._alone.pop(slot, None)
            self.quarantine.lost(slot.worker)
        slot.worker.dropped(slot)

    def gave_up(self, slot: Slot, failure: Failure) -> None:
        """The slot ends without having left its run."""
        if slot.run is not None:
            self.crashes[slot.run.head.run_id] = failure
        slot.close()

    def appended(self, slot: Slot, records: Sequence[Record]) -> None:
        if slot.run is not None:
            for record in records:
                self._console.appended(slot.run.head, record, slot.since)

    def _free_alone(self, slot: Slot) -> None:
        about = self._alone.pop(slot, None)
        if about is not None and slot.run is None:
            self.quarantine.acquit(*about)
        self._release(slot)
        self._keep_alone(slot)

    def _keep_alone(self, slot: Slot) -> None:
        if not self.quarantine.freed(slot) or self.stopping:
            slot.retire()
        else:
            self.tick.arm()

    # --- processes that end ----------------------------------------------------------------------------

    def dying(self, worker: Worker, how: str) -> bool:
        """The worker's process has ended by itself. Returns whether one of its runs may have caused it."""
        at_work = [slot.run for slot in self.busy(worker) if slot.run is not None]
        if len(at_work) == 1:
            head = at_work[0].head
            self.crashes[head.run_id] = Failure("Crashed", f"the process died while this step ran: it {how}")
            self.quarantine.convict(head.run_id, head.function_id)
            self._console.trouble(f"run {head.run_id} of {head.function_id} ended worker {worker.pid}: it {how}")
        elif at_work:
            self.quarantine.suspect(run.head.run_id for run in at_work)
            self.spare(worker)
            said = f"{len(at_work)} runs were at work in worker {worker.pid}, which {how}"
            self._console.trouble(f"{said}; each continues in its own worker, until it shows which one ended it")
        return bool(at_work)

    def spare(self, worker: Worker | None = None) -> None:
        """Hand over the runs of this worker (or of all) for it: they did not cause the end of its process."""
        for slot in self.busy(worker):
            if slot.run is not None:
                self._hand_over(slot.run)

    def _hand_over(self, run: Opened) -> None:
        state = fold(self._world.runs.read(run.head.run_id))
        if state.claim is not None:
            now = self._world.clock.now()
            append(self._world, run.head.run_id, state.seq + 1, [HandedOver(now)], HeadChange("running", now))

    def _release(self, slot: Slot) -> None:
        """If the slot still has a run, its claim has lapsed: the run is checked at once."""
        run, by = slot.run, slot.by
        slot.run, slot.by = None, ""
        self._busy.pop(slot, None)
        self._beginning.pop(slot, None)
        self._claims.drop(by)
        if run is not None:
            self._ready.put(run.head.run_id, run.head.function_id)
            self.tick.arm()


def _ignore(run_id: str) -> None: ...
