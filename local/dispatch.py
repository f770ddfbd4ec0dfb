"""Who runs what: ready runs are claimed for idle slots and pushed to them, each function in its turn.

Few runs begin at once. Slots are threads of one process and take turns, so thirty runs begun together all end late,
where one after another most would end early, for the same work. A slot that has been given a run and has not been
heard of since counts as beginning, for 2 ms at the most: code that waits for something else holds up nobody.

A run is looked at only when a slot is idle, and claimed and pushed in the turn of the loop in which that came
about: a new event, its run and the claim are one commit. Slots are taken from a stack, so that a quiet
server uses the same few threads over and over, and more are started only when all are at work.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.core.journal import Ended
from tidemill.execute.open import attend, open_run
from tidemill_local.claims import FOREVER, Claims
from tidemill_local.ready import ReadyQueue
from tidemill_local.store.errors import StoreError

if TYPE_CHECKING:
    from tidemill.ports import World
    from tidemill_local.console import Console
    from tidemill_local.slots import Slot
    from tidemill_local.tick import Tick
    from tidemill_local.workers import Worker


BEGINNING_MOST = 4
BEGINNING_SECONDS = 0.002


class Dispatcher:
    """The owner of all slots, and the consumer of the ready queue."""

    def __init__(self, world: World, ready: ReadyQueue, claims: Claims, console: Console) -> None:
        self.worker: Worker | None = None  # whose code is the latest; None until a first load, or while it restarts
        self.tick: Tick
        self.popped: Callable[[str], None] = _ignore  # told of each run that leaves the ready queue
        self.stopping = False
        self._world = world
        self._ready = ready
        self._claims = claims
        self._console = console
        self._idle: list[Slot] = []
        self._busy: dict[Slot, None] = {}
        self._late: deque[tuple[str, str]] = deque()  # runs due that may need no slot
        self._beginning: dict[Slot, float] = {}  # when each was given its run, the longest ago first
        self._timer: TimerHandle | None = None

    def use(self, worker: Worker | None) -> None:
        """From now on runs go to this worker; idle slots of any other are let go."""
        self.worker = worker
        for slot in [slot for slot in self._idle if slot.worker is not worker]:
            slot.close()
        if self._ready:
            self.tick.arm()

    def busy(self, worker: Worker | None = None) -> list[Slot]:
        """The slots that are at work (of this worker)."""
        return [slot for slot in self._busy if worker is None or slot.worker is worker]

    def wake(self, run_id: str, function_id: str) -> None:
        """A run is due. What its timeouts call for is done even while no slot is idle."""
        spec = self._world.registry.function(function_id)
        if spec is None or spec.timeouts.finish or spec.timeouts.start:
            self._late.append((run_id, function_id))
        else:
            self._ready.put(run_id, function_id)

    def pump(self) -> None:
        """Give ready runs to idle slots, until one of the two runs out."""
        while self._late:
            self._attend(*self._late.popleft())
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
            self._open(slot, run_id, function_id)

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

    def _open(self, slot: Slot, run_id: str, function_id: str) -> None:
        by = self._claims.new()
        try:
            opened = open_run(self._world, run_id, by, FOREVER)
        except StoreError as error:
            self._ready.put(run_id, function_id)
            self.tick.fail(error)
            raise
        except Exception as error:  # one run's journal that cannot be read must not stop all others
            self._claims.drop(by)
            self._console.trouble(f"run {run_id} of {function_id} cannot go on: {error}")
            return
        if opened is None:
            self._claims.drop(by)
            return
        self._idle.pop()
        self._busy[slot] = None
        self._beginning[slot] = asyncio.get_running_loop().time()
        slot.assign(opened, by)
        if opened.head.finish_by is not None:
            self._world.queue.look(run_id, function_id, opened.head.finish_by)

    def _crowded(self) -> bool:
        """Whether enough runs are beginning; then the next is looked at when one of them is heard of, or in a while."""
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

    # --- what slots report -----------------------------------------------------------------------------

    def heard(self, slot: Slot) -> None:
        if self._beginning.pop(slot, None) is not None and self._ready:
            self.tick.arm()

    def free(self, slot: Slot) -> None:
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
        slot.worker.dropped(slot)

    def ended(self, slot: Slot, ended: Ended) -> None:
        if slot.run is not None:
            self._console.ended(slot.run.head, ended)

    def _release(self, slot: Slot) -> None:
        """If the slot still has a run, its claim has lapsed: the run is looked at at once."""
        run, by = slot.run, slot.by
        slot.run, slot.by = None, ""
        self._busy.pop(slot, None)
        self._beginning.pop(slot, None)
        self._claims.drop(by)
        if run is not None:
            self._ready.put(run.head.run_id, run.head.function_id)
            self.tick.arm()


def _ignore(run_id: str) -> None: ...
