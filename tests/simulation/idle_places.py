"""Looks, now and then, whether a place is free while someone stands in line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.flow import concurrency as places
from tidemill.model import Place

if TYPE_CHECKING:
    from simulation.system import System

SECOND, HOUR = 1_000, 3_600_000


class IdlePlaces:
    def __init__(self, system: System) -> None:
        self._system = system
        self._since: dict[str, int] = {}
        self.problems: list[str] = []

    def look(self) -> None:
        """To be called each minute or so."""
        system = self._system
        now = system.loop.now
        scenario = system.scenario
        calm = not (scenario.faults or scenario.stalls)
        patience = 10 * SECOND if calm else 4 * HOUR
        lines = system.stores.lines()
        held: dict[str, int] = {}
        for key, run_id, until in system.stores.places_held() if lines else ():
            head = system.stores.runs.head(run_id)  # a run keeps the place that counts runs, whatever time it takes
            held[key] = held.get(key, 0) + (until > now or (head is not None and head.due is not None))
        for key, functions in lines.items():
            spec = system.registry.function(functions[0])
            if spec is None or held.get(key, 0) >= places.limit_now(spec, Place(key, 10**9)):
                self._since.pop(key, None)
            elif now - self._since.setdefault(key, now) > patience:
                self.problems.append(f"a place under {key} is free, and {len(functions)} stand in line for it")
                self._since[key] = 10**18
        for key in self._since.keys() - lines.keys():
            del self._since[key]
