"""`Mill`: the whole platform in a test, on virtual time.

The engine is the one that runs in AWS and in `tidemill dev`; the stores are the dev server's, in memory; the clock
stands still while code runs and moves only when the test says so. Months pass in milliseconds, and nothing is mocked
but what the test stubs.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from tidemill import App, ids
from tidemill.core.journal import Claimed
from tidemill.execute import receive
from tidemill.execute.code import drive
from tidemill.execute.keep import LocalKeeper
from tidemill.execute.open import open_run
from tidemill.model import Event
from tidemill.ports import World
from tidemill_local.registry import LocalRegistry
from tidemill_local.store.database import MEMORY, Database

EPOCH = 1_767_225_600_000  # 2026-01-01T00:00:00Z, a Thursday


class VirtualClock:
    def __init__(self, now: int = EPOCH) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


class SeededEntropy:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a test must come out the same every time

    def random(self) -> float:
        return self._random.random()

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)


class _Queue:
    def __init__(self) -> None:
        self.ready: deque[str] = deque()

    def look(self, run_id: str, function_id: str, at: int | None = None) -> None:  # noqa: ARG002
        if at is None:
            self.ready.append(run_id)

    def forget(self, run_id: str) -> None:
        """Nothing points at a run but its due time."""


class _Nobody:
    """No executor outlives the call that runs it, so an open claim is a dead one."""

    def alive(self, claim: Claimed, now: int) -> bool:  # noqa: ARG002
        return False


class Mill:
    def __init__(self, *apps: App) -> None:
        self._db = Database(MEMORY)
        self._functions = {fid: fn for app in apps for fid, fn in app.functions.items()}
        registry = LocalRegistry()
        registry.replace([fn.spec for fn in self._functions.values()], "test")
        self._queue = _Queue()
        bus = receive.DirectBus()
        self.clock = VirtualClock()
        self._world = bus.world = World(
            self._db.runs, self._db.events, self._db.waits, self._db.blobs, self._queue, bus, registry,
            self.clock, SeededEntropy(0), _Nobody(),
        )
        self._keeper = LocalKeeper(self._world)
        self._stubs: dict[str, Any] = {}

    def send(self, name: str, data: dict[str, Any] | None = None, **fields: Any) -> list[str]:
        self.clock.time += 1
        now = self.clock.now()
        event_id = fields.get("id") or ids.ulid(now, self._world.entropy.bytes(10))
        event = Event(event_id, name, data or {}, fields.get("ts") or now, now, fields.get("user"), fields.get("v"))
        runs = receive.receive(self._world, event)
        self.settle()
        return runs

    def settle(self) -> None:
        while self._queue.ready:
            run_id = self._queue.ready.popleft()
            opened = open_run(self._world, run_id, "test", 2**53)
            if opened is not None:
                drive(self._functions[opened.spec.id], opened, self._keeper, self.clock, self._world.entropy,
                      threads=False, stubs=self._stubs)

    def advance(self, ms: int) -> None:
        target = self.clock.time + ms
        while (due := self._db.runs.next_due()) is not None and due <= target:
            self.clock.time = max(self.clock.time, due)
            for head in self._db.runs.overdue(self.clock.time, 1_000):
                self._queue.look(head.run_id, head.function_id)
            self.settle()
        self.clock.time = target
