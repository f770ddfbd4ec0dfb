"""The ports: the interfaces of stores, queues and clocks that the engine needs. A world is one set of their adapters.

Every call may fail, be slow, succeed and look failed, or be made twice; the engine is written for that. Nothing here
promises more than one item's conditional write and a strongly consistent read by key, except `RunStore.append` with
a head change, which is one transaction. Times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from tidemill.core.flow.throttle import Limit, Turn
from tidemill.core.journal import Claimed, Record, Started
from tidemill.model import (
    AtWork,
    Event,
    EventSchema,
    FunctionSpec,
    Head,
    HeadChange,
    Parent,
    Place,
    RunStatus,
    Wait,
    WebhookSpec,
)
from tidemill.run_logs import Logs, NoLogs


class RunQuery(msgspec.Struct, frozen=True):
    """Runs, newest first. `after` compares `created_at`; `cursor` is the last row of the page before."""

    function_id: str | None = None
    status: RunStatus | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (created_at, run_id)


class EventQuery(msgspec.Struct, frozen=True):
    """Events, newest first. `after` compares `received_at`; signals are never listed."""

    name: str | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (received_at, id)
    rejected: bool = False  # the rejected ones in place of all others


Row = TypeVar("Row")


class Damaged(NamedTuple):
    """A row of a list that cannot be read."""

    before: int  # how many rows of its page stand before it
    at: int
    id: str
    problem: str


class Page(list[Row]):
    """The readable rows of a list, and the damaged ones by name. `cut`: the limit of bytes ended it; more follows."""

    def __init__(self, rows: Iterable[Row] = (), damaged: Sequence[Damaged] = (), cut: bool = False) -> None:
        super().__init__(rows)
        self.damaged = tuple(damaged)
        self.cut = cut


class RunStore(Protocol):
    def create(self, head: Head, records: Sequence[Record]) -> bool:
        """Put a new run: its head, records 0, 1, …, and a pointer under each of its events. False: it exists.

        A store in which records expire sets `head.kept` to the time before which none expires.
        """
        ...

    def head(self, run_id: str) -> Head | None: ...

    def open(self, run_id: str) -> tuple[Head, list[Record]] | None:
        """The head, and the records after its snapshot as `read` gives them, both from one moment."""
        ...

    def read(self, run_id: str, after: int = -1) -> list[Record]:
        """The records numbered above `after`, in order, never stale. Raises JournalError at a gap."""
        ...

    def birth(self, run_id: str) -> Started | None:
        """Record 0 of a run."""
        ...

    def append(
        self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> list[Record] | None:
        """Append `records` at `seq`, `seq`+1, … unless `seq` is taken; the head's change is in the same transaction.

        `seq` follows the last record that the caller has read or written: records that were appended together are
        read together, so no caller asks for a number in the middle of them.
        None: appended. Otherwise nothing was written, and the answer is the records at `seq` and after.
        Where the first record is an `Ended` the adapter may write the head after it instead of with it.
        """
        ...

    def rewrite(self, run_id: str, seq: int, record: Record) -> None:
        """Replace the record with this number, which was appended alone, by one that says less."""
        ...

    def change(self, run_id: str, change: HeadChange) -> None:
        """Change the head of a run that has ended; harmless to do twice."""
        ...

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        """Move the due time of an open run from `was`, with the reason why it is held; no effect after another move."""
        ...

    def overdue(self, now: int, limit: int) -> list[Head]:
        """Open runs whose due time is at or before `now`, the most overdue first."""
        ...

    def page(self, query: RunQuery) -> Page[Head]:
        """Newest first; lists leave out the chunks of a map."""
        ...

    def of_event(self, event_id: str) -> Page[Head]:
        """The runs that this event started, oldest first."""
        ...

    def counts(self) -> dict[str, dict[RunStatus, int]]:
        """By function, how many of its runs are `scheduled` (its backlog) and `running`; zeros may be left out."""
        ...

    def idle(self) -> dict[str, int]:
        """By function, how many of its runs are `sleeping` or `waiting`; zeros may be left out."""
        ...

    def chunk_done(self, run_id: str, key: str, chunk: int) -> int:
        """Note that this chunk of the map `key` has ended; return how many have. Harmless to do twice."""
        ...

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None:
        """Keep the run's snapshot, of the records 0 … `seq`, in place of the one before."""
        ...

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        """The run's snapshot, if it is the one of the records 0 … `seq`."""
        ...

    def renew(self, run_id: str, until: int) -> None:
        """Ensure that nothing of the run expires before `until`. Harmless to do twice; a store that keeps all does
        nothing."""
        ...


class EventStore(Protocol):
    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        """Store the event, also under each awaited (path, hash) of its name. Harmless to do twice.

        False: another event has its id and was received within EVENT_MEMORY before; nothing was stored.
        """
        ...

    def get(self, event_id: str) -> Event | None: ...

    def reject(self, event: Event) -> bool:
        """Keep an event with the reason why it was not taken in, apart from all that were. Harmless to do twice.

        False: one was rejected under its id before, and stays as it is.
        """
        ...

    def rejected(self, event_id: str) -> Event | None:
        """The event that was rejected under this id, whether it was taken in since or not."""
        ...

    def accepted(self, event_id: str) -> None:
        """An event that was rejected has been taken in after all: no list of rejected ones names it any more."""
        ...

    def page(self, query: EventQuery) -> Page[Event]:
        """A page ends early, after at least one event, when its events reach ANSWER_BYTES."""
        ...

    def paths(self, name: str) -> dict[str, int]:
        """The paths by which events of this name have been awaited, and since when events are stored under them."""
        ...

    def add_path(self, name: str, path: str, now: int) -> int:
        """From now on store events of this name under `path` too. Answers since when (a first call's `now` stands)."""
        ...

    def by_key(self, name: str, path: str, hash_: str, after: int, before: int, limit: int) -> list[Event]:
        """Events stored under this path and value that take effect in (after, before], the earliest first."""
        ...

    def by_name(self, name: str, after: int, before: int, limit: int) -> list[Event]:
        """Events of this name that take effect in (after, before], the earliest first."""
        ...

    def delayed(self, now: int, limit: int) -> list[tuple[str, int]]:
        """The ids of delayed events that are due by `now`, each with its due time, the most overdue first.

        An event whose `ts` lies ahead of its receipt is due at its `ts` from the moment at which it is stored.
        """
        ...

    def redue(self, event_id: str, due: int | None) -> None:
        """Move the due time of this delayed event; None: it is done. No effect without a due time."""
        ...


class WaitStore(Protocol):
    def put(self, wait: Wait) -> None:
        """Store the wait of this run, step and label; harmless to do twice."""
        ...

    def drop(self, run_id: str, key: str | None = None) -> None:
        """Delete the waits of a run's step, or all of a run's."""
        ...

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page of the waits under this name, path and value; `after` is (run_id, key) of the last wait before."""
        ...

    def awaited(self, name: str) -> bool:
        """Whether any run waits for this event of the platform."""
        ...


class Waiting(msgspec.Struct, frozen=True):
    """A run in a line. `token`: the number of the claim that it will make once it has its place."""

    run_id: str
    function_id: str
    token: int
    rank: int


class Holder(msgspec.Struct, frozen=True):
    """The run that holds a place, under the claim with the number `token`, until `until` unless that is extended."""

    run_id: str
    token: int
    until: int


class Window(msgspec.Struct, frozen=True):
    """The run that collects events under a key. `seq` is the number of its last record, `count` that of its events;
    both may be stale (the journal decides)."""

    run_id: str
    seq: int
    count: int
    since: int


class Usage(msgspec.Struct, frozen=True):
    """One key of a limit: places in use, runs in line, and since when the longest has waited."""

    label: str
    used: int
    waiting: int
    oldest: int | None = None


class FlowStore(Protocol):
    """What flow control remembers, under the keys of `core.flow`. A function without flow control never comes here.

    A holder is a run under one of its claims. The claim's number in the journal (its token) identifies it: a later
    claim of the run takes over the place of an earlier one, which can then neither take the place nor give it up.

    A line is served in its order: while runs wait in it, only the first can get a place.
    """

    def take(self, place: Place, run_id: str, token: int, until: int, now: int, known: bool) -> bool:
        """Take one of the places under this key, or keep it under a newer claim. False also where runs wait in line,
        even if a place is free: the caller then parks the run.

        A place that counts steps is free once its holder's `until` has passed; one that counts runs is not. Under one
        and the same claim `until` never gets shorter: of two executors, the slower may be the one that loses.
        `known`: the run may already hold a place here. Harmless to do twice.
        """
        ...

    def park(
        self, place: Place, waiting: Waiting, until: int, now: int, limit: Callable[[str], int]
    ) -> list[tuple[str, str]]:
        """Put the run in line, then give the free places to the first in line, as `pass_on` does: perhaps to this run.

        A run that is already in line keeps its position and gets the new token.
        """
        ...

    def pass_on(
        self,
        place: Place,
        run_id: str,
        upto: int | None,
        rank: int | None,
        until: int,
        now: int,
        limit: Callable[[str], int],
    ) -> list[tuple[str, str]]:
        """Give up the run's place, and give the free places to the first in line, until then. Returns the runs with a
        place that they have not yet claimed, as (run_id, function_id): the caller wakes them.

        `upto`: only if the place is held under a claim with this number or an earlier one; None: any place of the run
        and, with its `rank`, its position in line. `limit` says how many places there are for a function. A place that
        a run gives up is never free while another waits. Harmless to do twice: the answer names the same runs again.
        """
        ...

    def holders(self, key: str) -> list[Holder]: ...

    def lines(self, family: str) -> list[tuple[str, str]]:
        """The keys of a limit (their common prefix) that have runs in line, each with its label."""
        ...

    def ahead(self, key: str, run_id: str, rank: int) -> int | None:
        """How many runs stand before this one, which has this rank, in the line of a key; None: it stands in none."""
        ...

    def in_line(self, key: str) -> Iterator[tuple[str, str]]:
        """The runs in the line of a key, in order, as (run_id, function_id)."""
        ...

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        """Advance a throttle's stored number by one start (see `core.flow.throttle`), in one write; return it."""
        ...

    def begin(self, key: str, run_id: str, turn: Turn, now: int, limit: Limit) -> Turn | None:
        """None if the run may begin now within its throttle, else when it may: see `core.flow.throttle.begin`."""
        ...

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        """Whether this run may start now within its rate limit; if so, it is counted, once."""
        ...

    def first(self, key: str, run_id: str, now: int, until: int) -> str:
        """The run that has the idempotency key: this one from now on, unless another has it until a later time."""
        ...

    def forget(self, key: str, run_id: str) -> None:
        """Release the idempotency key of a run that was skipped after all."""
        ...

    def window(self, key: str) -> Window | None:
        """The run that collects events under this key."""
        ...

    def move_window(self, key: str, was: str | None, window: Window, now: int) -> Window:
        """Replace the window of the run `was` (None: no window) by `window`; return the window that is stored then.

        A window of the same run is moved forward only. Harmless to do twice.
        """
        ...

    def usage(self, family: str, top: int) -> list[Usage]:
        """The sum of all keys of a limit (their common beginning), then the `top` with the longest lines.

        With very many keys or runs in line, the numbers are lower bounds.
        """
        ...


class Blobs(Protocol):
    def put(self, data: bytes, name: str | None = None) -> str:
        """Store `data` under a name that is made from its content. `name`: replace the blob with this name instead."""
        ...

    def get(self, name: str) -> bytes: ...

    def address(self, name: str) -> str | None:
        """A URL at which anybody may read the blob for a few minutes; None if answers have no limit and need no URL."""
        ...

    def renew(self, name: str) -> None:
        """Keep the blob as long as one that is stored now. No effect if there is no such blob."""
        ...


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


class Keeper(Protocol):
    """The keeper writes the journal for an executor of a run's code: in the same process, or over a socket."""

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> list[Record] | None:
        """As `RunStore.append`. With a change, the keeper also performs its effects: wakes, or those of a run's end."""
        ...

    def wait(self, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> tuple[Wait, Event] | None:
        """Register the waits of one step, then look back: the oldest event that already satisfies one of them.

        `taken`: (digest of the wait, event id) of the events that earlier waits of the run have received.
        """
        ...

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        """Start the run that this step waits for; its id derives from run and step. False: no such function."""
        ...

    def send(self, events: Sequence[Event]) -> None:
        """Send events; their ids derive from run and step, so that sending twice is sending once."""
        ...

    def map(self, head: Head, key: str, parts: Sequence[bytes]) -> None:
        """Start the chunk runs of a map step, each with its encoded items."""
        ...

    def snapshot(self, head: Head, seq: int, data: bytes) -> None:
        """Keep the folded state of records 0 … seq, before the head names it."""
        ...

    def restore(self, run_id: str, seq: int) -> bytes | None:
        """The snapshot of records 0 … seq."""
        ...

    def ended(self, head: Head, maps: Mapping[str, int]) -> None:
        """Delete what this executor has left behind since the run ended under it.

        `maps`: those that it has begun and not collected, each with its number of chunks.
        """
        ...

    def chunks(self, run_id: str, key: str, count: int) -> list[Record]:
        """The terminal records of a map's chunks, in order."""
        ...

    def journal(self, run_id: str, after: int = -1) -> list[Record]:
        """All records of a run: a chunk replays its parent's."""
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
