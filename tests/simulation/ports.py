"""The ports of a simulated world: stores that fail, clocks that differ, a queue and a bus that lose and double."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from simulation import states

from tidemill.errors import Unavailable
from tidemill.ports import APPENDED

if TYPE_CHECKING:
    from simulation.loop import Loop
    from simulation.system import System

    from tidemill.core.journal import Claimed
    from tidemill.model import Event


class Faulty:
    """A port whose calls take time, fail, succeed and look failed, or are the last thing their process does."""

    def __init__(self, system: System, port: Any, fatal: bool = True) -> None:
        self._system = system
        self._port = port
        self._fatal = fatal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._port, name)

        def call(*args: Any, **options: Any) -> Any:
            system = self._system
            system.watchdog.note(name, args)
            system.pause()
            chance = system.loop.random.random() / max(system.scenario.faults, 1e-9)
            if chance < 0.004:
                raise Unavailable(f"{name} did not answer")
            cells = states.before(system, name, args)
            result = method(*args, **options)
            system.asked(name, args, result)
            system.met.update(cells if result in (None, APPENDED) else ())
            if chance < 0.008:
                raise Unavailable(f"{name} did not answer in time")
            return result

        return call


class SimClock:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.offset = 0  # by how much it has been set

    def now(self) -> int:
        return self._loop.now + self.offset + (self._loop.actor.skew if self._loop.actor is not None else 0)


class SimEntropy:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def random(self) -> float:
        return self._loop.random.random()

    def bytes(self, count: int) -> bytes:
        return self._loop.random.randbytes(count)


class Lease:
    def alive(self, claim: Claimed, now: int) -> bool:
        return now < claim.until


class SimQueue:
    def __init__(self, system: System) -> None:
        self._system = system

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        system = self._system
        after = max(0, at - system.loop.now) if at is not None else 0
        if after > 24 * 3_600_000 or (loose and after > 900_000):
            return  # left to the sweep, as a schedule that never fires, or as a time that need not be met
        if after > 900_000:
            after += system.loop.random.randint(0, 60_000)
        system.deliver(f"look {run_id}", lambda: system.advance(run_id), durable=False, after=after)

    def forget(self, run_id: str) -> None:
        """Schedules that still fire find a run that has ended."""


class SimBus:
    """The bus and its rules: a message to every function that listens, one to whoever keeps events."""

    def __init__(self, system: System) -> None:
        self._system = system

    def publish(self, events: Sequence[Event]) -> None:
        system = self._system
        for event in events:
            stamped = replace_event(event, system.loop.now)
            for spec in system.registry.listeners(event.name):
                system.deliver(f"start {spec.id}", lambda s=spec.id, e=stamped: system.start(s, e), durable=True)
            system.deliver(f"event {event.id}", lambda e=stamped: system.keep(e), durable=True)


def replace_event(event: Event, now: int) -> Event:
    return msgspec.structs.replace(event, received_at=min(event.received_at, now))
