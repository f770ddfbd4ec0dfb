"""Who runs what: ready runs are claimed for idle slots and pushed to them, each function in its turn.

A run is looked at only when a slot is idle, and claimed and pushed in the turn of the loop in which that came
about: a new event, its run and the claim are one commit. Slots are taken from a stack, so that a quiet
server uses the same few threads over and over, and more are started only when all are at work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tidemill.core.journal import Ended
from tidemill.execute.open import open_run
from tidemill_local.claims import FOREVER, Claims
from tidemill_local.ready import ReadyQueue
from tidemill_local.store.errors import StoreError

if TYPE_CHECKING:
    from tidemill.ports import World
    from tidemill_local.console import Console
    from tidemill_local.slots import Slot
    from tidemill_local.tick import Tick
    from tidemill_local.workers import Worker


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

    def pump(self) -> None:
        """Give ready runs to idle slots, until one of the two runs out."""
        while self._ready and self.worker is not None and not self.stopping:
            slot = self._idle[-1] if self._idle else self.worker.grow()
            if slot is None:
                return
            if not self._idle:
                self._idle.append(slot)
            run_id, function_id = self._ready.pop()
            self.popped(run_id)
            self._open(slot, run_id, function_id)

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
        slot.assign(opened, by)

    # --- what slots report -----------------------------------------------------------------------------

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
        self._claims.drop(by)
        if run is not None:
            self._ready.put(run.head.run_id, run.head.function_id)
            self.tick.arm()


def _ignore(run_id: str) -> None: ...
