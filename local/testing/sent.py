"""The result of sending: the ids of the events, and the runs that they started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.testing.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.sdk.function import Function
    from tidemill_local.testing.machine import Machine


class Sent:
    """`runs` and `run()` read the store each time, so they include a run that a delayed event starts later."""

    def __init__(self, machine: Machine, ids: Sequence[str]) -> None:
        self._machine = machine
        self.ids = list(ids)

    @property
    def id(self) -> str:
        """The id of the event, if one was sent."""
        if len(self.ids) != 1:
            raise LookupError(f"{len(self.ids)} events were sent, not one: see .ids")
        return self.ids[0]

    @property
    def runs(self) -> list[Run]:
        """The runs that the events started, oldest first."""
        heads = [head for id in self.ids for head in self._machine.world.runs.of_event(id)]
        return [Run(self._machine, run_id) for run_id in dict.fromkeys(head.run_id for head in heads)]

    def run(self, function: str | Function[Any, Any] | None = None) -> Run:
        """The one run that was started, of this function where several may be. Raises LookupError if it is not one."""
        runs = self.runs
        function_id = function if isinstance(function, str) or function is None else function.id
        found = [run for run in runs if function_id is None or run.function_id == function_id]
        if len(found) == 1:
            return found[0]
        what = f"runs of {function_id!r}" if function_id is not None else "runs"
        started = ", ".join(run.function_id for run in runs) or "nothing"
        known = ", ".join(self._machine.functions) or "none"
        raise LookupError(f"the event started {len(found)} {what}, not one; it started: {started} (served: {known})")

    def __repr__(self) -> str:
        return f"<Sent {', '.join(self.ids)}: {self.runs}>"
