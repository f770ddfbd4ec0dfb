"""What invariants look at: the runs, their journals, and what the simulation has seen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation.system import Execution, System

from tidemill.core.state import RunState, fold

if TYPE_CHECKING:
    from tidemill.core.journal import Record
    from tidemill.model import Event, Head


@dataclass
class View:
    system: System
    heads: list[Head]
    journals: dict[str, list[Record]]
    states: dict[str, RunState] = field(default_factory=dict)
    executions: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.states = {head.run_id: fold(self.journals[head.run_id]) for head in self.heads}
        for execution in self.system.executions:
            self.executions[execution.run_id].append(execution)

    @property
    def skew(self) -> int:
        """How far two clocks may be apart."""
        return 2 * self.system.skew

    @property
    def calm(self) -> bool:
        """Whether nothing failed and nobody stood still."""
        return not (self.system.scenario.faults or self.system.scenario.stalls)

    @property
    def clock_set(self) -> bool:
        """Whether somebody has set the clock: then what is written says little of when it was."""
        return any(act.do in ("clock", "lid") for act in self.system.scenario.acts)


def is_part(head: Head) -> bool:
    """Whether this is a part of a map."""
    return head.parent is not None and head.parent.chunk is not None


def events_of(state: RunState) -> list[Event]:
    """All events of a run, also those that its code is not given."""
    return [*state.birth.events, *(record.event for record in state.gathered if record.event is not None)]
