"""What the engine needs of the world. A world (Lambda, `tidemill dev`, a test) is a set of adapters behind these.

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
    """The rows of a list that can be read, and the others by name. `cut`: its bytes ended it; there is more."""

    def __init__(self, rows: Iterable[Row] = (), damaged: Sequence[Damaged] = (), cut: bool = False) -> None:
        super().__init__(rows)
        self.damaged = tuple(damaged)
        self.cut = cut


class RunStore(Protocol):
    def create(self, head: Head, records: Sequence[Record]) -> bool:
        """Put a new run: its head, records 0, 1, …, and a pointer under each of its events. False: it exists.

        A store in which records expire says in `head.kept` before when none does.
        """
        ...

    def head(self, run_id: str) -> Head | None: ...

    def open(self, run_id: str) -> tuple[Head, list[Record]] | None:
        """The head and, as `read` gives them, the records that its snapshot does not hold: of one moment, at once."""
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
        """Append `records` at `seq`, `seq`+1, … if nobody took `seq`; the head's change goes in the same transaction.

        `seq` follows the last record that the caller has read or written: records that were appended together are
        read together, so nobody asks for a number in their midst.
        None: appended. Otherwise nothing was written, and the answer is what stands at `seq` and after.
        Where the first record is an `Ended` the adapter may write the head after it instead of with it.
        """
        ...

    def rewrite(self, run_id: str, seq: int, record: Record) -> None:
        """Put the record in place of the one with this number, which was appended alone: it says less, and no other."""
        ...

    def change(self, run_id: str, change: HeadChange) -> None:
        """Change the head of a run that has ended; harmless to do twice."""
        ...

    def redue(self, run_id: str, was: int | None, due: int, reason: str | None = None) -> None:
        """Move the due time of an open run, and say why it is held; nothing if it has moved since it was `was`."""
        ...

    def overdue(self, now: int, limit: int) -> list[Head]:
        """Open runs whose due time is at or before `now`, the most overdue first."""
        ...

    def page(self, query: RunQuery) -> Page[Head]:
        """Newest first; the parts of a map are in no list."""
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
        """Note that this chunk of the map `key` has ended; how many have. Harmless to do twice."""
        ...

    def put_snapshot(self, run_id: str, seq: int, data: bytes) -> None:
        """Keep the run's snapshot, of the records 0 … `seq`, in place of the one before."""
        ...

    def snapshot(self, run_id: str, seq: int) -> bytes | None:
        """The run's snapshot, if it is the one of the records 0 … `seq`."""
        ...

    def renew(self, run_id: str, until: int) -> None:
        """See to it that nothing of the run expires before `until`. Harmless to do twice; a store that keeps all does
        nothing."""
        ...


class EventStore(Protocol):
    def put(self, event: Event, keys: Sequence[tuple[str, str]]) -> bool:
        """Store the event, and under each awaited (path, hash) of its name. Harmless to do twice.

        False: another event stands under its id, received less than its memory before; nothing was stored.
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
        """It ends early, but after one event at least, when its events are ANSWER_BYTES."""
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
        """The ids of delayed events that are to be seen to by `now`, each with its due time, the most overdue first.

        An event whose `ts` lies ahead of its receipt is due at its `ts` from the moment at which it is stored.
        """
        ...

    def redue(self, event_id: str, due: int | None) -> None:
        """See to this delayed event then; None: never again. Nothing where it was not to be seen to any more."""
        ...


class WaitStore(Protocol):
    def put(self, wait: Wait) -> None:
        """Put (or put again) the wait of this run, step and label."""
        ...

    def drop(self, run_id: str, key: str | None = None) -> None:
        """Delete the waits of a run's step, or all of a run's."""
        ...

    def find(self, name: str, path: str | None, hash_: str, after: tuple[str, str] | None, limit: int) -> list[Wait]:
        """A page of the waits under this name, path and value; `after` is (run_id, key) of the last wait before."""
        ...

    def awaited(self, name: str) -> bool:
        """Whether any run waits for events of this name, one of those that the platform sends."""
        ...


class Waiting(msgspec.Struct, frozen=True):
    """A run in a line. `token`: the number of the claim that it is to make once it has its place."""

    run_id: str
    function_id: str
    token: int
    rank: int


class Holder(msgspec.Struct, frozen=True):
    """Who holds a place, under the claim with the number `token`, and until when if nothing is heard of it."""

    run_id: str
    token: int
    until: int


class Window(msgspec.Struct, frozen=True):
    """The run that gathers events under a key: `seq` and `count` are its last record's number and its events', if known
    rightly (the journal decides)."""

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

    A holder is a run under one of its claims, told by the claim's number in the journal (its token): a later claim of
    the run takes over the place of an earlier one, and the earlier can then neither take it nor give it up.

    A line is served in its order: while a run stands in it, nobody gets a place but the first.
    """

    def take(self, place: Place, run_id: str, token: int, until: int, now: int, known: bool) -> bool:
        """Hold one of the places under this key, or hold it on under a newer claim. False also where there is a line,
        though a place may be free: stand in it.

        A place that counts steps is free once its holder's `until` has passed; one that counts runs is not. Under one
        and the same claim `until` never gets shorter: of two executors that are after it, the slower may be the loser.
        `known`: the run may well hold a place here already. Harmless to do twice.
        """
        ...

    def park(
        self, place: Place, waiting: Waiting, until: int, now: int, limit: Callable[[str], int]
    ) -> list[tuple[str, str]]:
        """Stand in line, then give what is free to the first in line, as `pass_on` does: maybe to this run.

        A run that stands there already keeps its position, and stands there with its new token.
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
        """Give up the run's place, and give what is free to the first in line, until then; those granted, and not yet
        claimed, as (run_id, function_id): have them looked at.

        `upto`: only where it is held under a claim with this number or an earlier one; None: whatever the run holds,
        and, with its `rank`, its position in line. `limit` says how many places there are for a function. A place that
        a run gives up is never free while someone waits. Harmless to do twice: whom it was granted to is told again.
        """
        ...

    def holders(self, key: str) -> list[Holder]: ...

    def lines(self, family: str) -> list[tuple[str, str]]:
        """The keys of a limit (their common beginning) in whose lines runs stand, each with its label."""
        ...

    def in_line(self, key: str) -> Iterator[tuple[str, str]]:
        """The runs that stand in the line of a key, the first one first, as (run_id, function_id)."""
        ...

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        """Move a throttle's stored number on by one start (see `core.flow.throttle`), in one write; what it is now."""
        ...

    def begin(self, key: str, run_id: str, turn: Turn, now: int, limit: Limit) -> Turn | None:
        """Whether the run may begin now within its throttle (None), or else when: see `core.flow.throttle.begin`."""
        ...

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        """Whether this run may start now within its rate limit; then it counts, from now on. A run is counted once."""
        ...

    def first(self, key: str, run_id: str, now: int, until: int) -> str:
        """Which run has the idempotency key: this one from now on, unless another has it until a later time."""
        ...

    def forget(self, key: str, run_id: str) -> None:
        """The run was turned away after all: it does not have this idempotency key."""
        ...

    def window(self, key: str) -> Window | None:
        """The run that gathers events under this key."""
        ...

    def move_window(self, key: str, was: str | None, window: Window, now: int) -> Window:
        """Put `window` in place of that of the run `was` (None: where there is none); what stands there then.

        A window of the same run is moved forward only. Harmless to do twice.
        """
        ...

    def usage(self, family: str, top: int) -> list[Usage]:
        """The sum of all keys of a limit (their common beginning), then the `top` with the longest lines.

        Where there are very many keys or runs in line, at least so many.
        """
        ...


class Blobs(Protocol):
    def put(self, data: bytes, name: str | None = None) -> str:
        """Keep `data`; its name is made from its content. `name`: in place of what stands under this name."""
        ...

    def get(self, name: str) -> bytes: ...

    def address(self, name: str) -> str | None:
        """Where anybody may read it for a few minutes; None where answers have no limit, and so need none."""
        ...

    def renew(self, name: str) -> None:
        """The blob is needed from now on as long as one that is put now. One that is not there stays so."""
        ...


class Queue(Protocol):
    """The functions' queues. What they carry is a hint: "look at this run", now or at a time."""

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        """Have someone look at this run, now or at a time. `loose`: then the sweep, by its due time, is soon enough."""
        ...

    def forget(self, run_id: str) -> None:
        """The run has ended before a time far ahead at which it was to be looked at: that timer may be deleted."""
        ...


class Registry(Protocol):
    def function(self, function_id: str) -> FunctionSpec | None: ...

    def functions(self) -> list[FunctionSpec]: ...

    def listeners(self, name: str) -> list[FunctionSpec]:
        """The functions with a trigger whose name pattern takes events of this name (`when` not yet tested)."""
        ...

    def version(self, function_id: str) -> str:
        """The version of the code that would run now."""
        ...

    def schemas(self, name: str) -> Mapping[str, str]:
        """The schemas of this event's data, JSON texts by version; empty: it has none."""
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
    """Where events go that the platform itself or a run sends: to every function and every wait."""

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
        """Whether the executor of this claim may still be at work."""
        ...


class Keeper(Protocol):
    """What the executor of a run's code asks of whoever keeps the journal: in process, or over a socket."""

    def append(
        self, head: Head, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> list[Record] | None:
        """As `RunStore.append`. With a change, what follows from it is seen to: wake-ups, or an end and its effects."""
        ...

    def wait(self, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> tuple[Wait, Event] | None:
        """Register the waits of one step, then look back: the oldest event that already satisfies one of them.

        `taken`: (digest of the wait, event id) of what earlier waits of the run have had.
        """
        ...

    def invoke(self, parent: Parent, function_id: str, data: bytes, user: dict[str, Any] | None) -> bool:
        """Start the run that this step waits for; its id derives from run and step. False: no such function."""
        ...

    def send(self, events: Sequence[Event]) -> None:
        """Send events; their ids derive from run and step, so that sending twice is sending once."""
        ...

    def map(self, head: Head, key: str, parts: Sequence[bytes]) -> None:
        """Start the chunk runs of a map step, each with the encoded items that are its part."""
        ...

    def snapshot(self, head: Head, seq: int, data: bytes) -> None:
        """Keep the folded state of records 0 … seq, before the head names it."""
        ...

    def restore(self, run_id: str, seq: int) -> bytes | None:
        """The snapshot of records 0 … seq."""
        ...

    def ended(self, head: Head, maps: Mapping[str, int]) -> None:
        """The run has ended while this executor was at work on it: what it left behind since may be deleted.

        `maps`: those that it has begun and not gathered, each of so many parts.
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
    """One set of adapters: all that the engine may touch."""

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
    at_work: Callable[[str], Sequence[AtWork]] = lambda _: ()  # a run's steps whose code runs now, where that is known
    logs: Logs = NoLogs()  # noqa: RUF009 - it holds nothing
