"""The dev server's own `Cron`, on the simulation's timers, and what must be true of what it fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from simulation.system import START
from simulation.view import View

from tidemill.engine.intake import receive
from tidemill.model import TIMER, CronTrigger, FunctionSpec
from tidemill_local.server.clock import NS
from tidemill_local.server.cron import Cron

if TYPE_CHECKING:
    from simulation.sync_system import SyncSystem

MINUTE, HOUR = 60_000, 3_600_000


class Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """As much of an event loop as `Cron` needs."""

    def __init__(self, system: SyncSystem) -> None:
        self._loop = system.loop

    def call_later(self, seconds: float, call: Callable[[], None]) -> Handle:
        handle = Handle()
        self._loop.at(self._loop.now + max(1, int(seconds * 1_000)), lambda: None if handle.cancelled else call())
        return handle


class WallClock:
    def __init__(self, system: SyncSystem) -> None:
        self._system = system

    def now(self) -> int:
        return self._system.clock.wall() // NS


def started(system: SyncSystem) -> Cron:
    def fire(spec: FunctionSpec, trigger: CronTrigger, at: int) -> None:
        system.deliver(
            f"tick {spec.id}", lambda: system.note(receive.fire(system.world, spec, trigger, at).began), durable=True
        )

    return Cron(cast("Any", Timers(system)), WallClock(system), fire)


def missed_ticks(view: View) -> Iterator[str]:
    """Of the ticks that a sleeping machine has missed, only the latest fires."""
    for act in view.system.scenario.acts:
        if act.do != "lid" or any(each.do == "clock" for each in view.system.scenario.acts):
            continue
        fell, woke = START + act.at, START + act.at + act.arg
        missed: dict[str, set[int]] = {}
        for head in view.heads:
            event = view.states[head.run_id].birth.events[:1]
            if event and event[0].name == TIMER and fell + 2 * MINUTE < event[0].ts < woke - MINUTE:
                missed.setdefault(head.function_id, set()).add(event[0].ts)
        for function_id, ticks in missed.items():
            if len(ticks) > 1:
                yield f"{function_id}: {len(ticks)} ticks that the machine has slept through were fired"
