"""Queues, functions, the bus, time and randomness; and the world, which is one set of all adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tidemill.core.journal import Claimed
from tidemill.model import AtWork, Event, EventSchema, FunctionSpec, WebhookSpec
from tidemill.ports.flow import FlowStore
from tidemill.ports.jobs import Jobs, NoJobs
from tidemill.ports.pauses import NoPauses, Pauses
from tidemill.ports.stores import Blobs, EventStore, RunStore, WaitStore
from tidemill.run_logs import Logs, NoLogs


class Queue(Protocol):
    """The functions' queues. A message is a hint: "check this run", now or at a time."""

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        """Have an executor check this run, now or at a time. `loose`: the sweep at its due time is soon enough."""
        ...

    def forget(self, run_id: str) -> None:
        """Delete the run's timer for a time far ahead: the run has ended before it."""
        ...


class Registry(Protocol):
    def function(self, function_id: str) -> FunctionSpec | None: ...

    def functions(self) -> list[FunctionSpec]: ...

    def listeners(self, name: str) -> list[FunctionSpec]:
        """The functions with a trigger whose name pattern takes events of this name (`when` not yet tested)."""
        ...

    def version(self, function_id: str) -> str:
        """The version of the code that would execute now."""
        ...

    def schemas(self, name: str) -> Mapping[str, str]:
        """The schemas of this event's data, JSON texts by version; empty if it has none."""
        ...

    def all_schemas(self) -> list[EventSchema]:
        """Every schema there is, sorted by name."""
        ...

    def webhook(self, name: str) -> WebhookSpec | None:
        """What is declared of the webhook with this name; None: anybody with an event key may call it."""
        ...

    def webhook_secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:
        """The secrets with which its sender may sign; none where they are missing. `fresh`: asked for anew, unless
        that was done a moment ago."""
        ...


class Bus(Protocol):
    """The bus takes events that the platform or a run sends, to every function and every wait."""

    def publish(self, events: Sequence[Event]) -> None: ...


class Clock(Protocol):
    def now(self) -> int: ...


class Entropy(Protocol):
    def random(self) -> float:
        """In [0, 1)."""
        ...

    def bytes(self, count: int) -> bytes: ...


class Liveness(Protocol):
    def alive(self, claim: Claimed, now: int) -> bool:
        """Whether the executor of this claim may still be alive."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """One set of adapters: everything outside itself that the engine may use."""

    runs: RunStore
    events: EventStore
    waits: WaitStore
    blobs: Blobs
    queue: Queue
    bus: Bus
    registry: Registry
    clock: Clock
    entropy: Entropy
    liveness: Liveness
    flow: FlowStore
    at_work: Callable[[str], Sequence[AtWork]] = lambda _: ()  # a run's executing steps, if known
    logs: Logs = NoLogs()  # noqa: RUF009 - it holds nothing
    pauses: Pauses = NoPauses()  # noqa: RUF009 - it holds nothing
    jobs: Jobs = NoJobs()  # noqa: RUF009 - it holds nothing
