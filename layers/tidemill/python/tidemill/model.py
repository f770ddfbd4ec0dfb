"""Plain data that every package shares: events, declarations of functions, heads of runs.

These types have no behavior. Times are milliseconds since the epoch, durations milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

RunStatus = Literal["scheduled", "running", "sleeping", "waiting", "completed", "failed", "cancelled", "skipped"]
RUN_STATUSES: tuple[RunStatus, ...] = (
    "scheduled", "running", "sleeping", "waiting", "completed", "failed", "cancelled", "skipped",
)  # fmt: skip
ENDED: frozenset[RunStatus] = frozenset({"completed", "failed", "cancelled", "skipped"})

StepKind = Literal["run", "sleep", "wait", "signal", "invoke", "send", "map"]

PLATFORM = "tidemill/"  # names that only the platform itself may send
FINISHED = "tidemill/function.finished"
FAILED = "tidemill/function.failed"
CANCELLED = "tidemill/function.cancelled"
ENDS = frozenset({FINISHED, FAILED, CANCELLED})
INVOKED = "tidemill/function.invoked"
TIMER = "tidemill/scheduled.timer"
REJECTED = "tidemill/event.rejected"
SIGNAL = "tidemill/signal"  # how a signal travels: an event that only waits for signals can see


class Rejected(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an event was rejected. `body`: what was sent, as JSON or text."""

    error: str
    errors: list[dict[str, Any]] = []
    body: Any = None


class EventSchema(msgspec.Struct, frozen=True, order=True):
    """What the data of an event's version looks like: JSON Schema, as the JSON text that equal schemas share."""

    name: str
    v: str
    schema: str


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as the platform keeps it. `received_at` is the platform's own time, never the sender's."""

    id: str
    name: str
    data: dict[str, Any]
    ts: int
    received_at: int
    user: dict[str, Any] | None = None
    v: str | None = None
    data_context: dict[str, Any] | None = None  # the attributes of a CloudEvent that have no place of their own
    rejected: Rejected | None = None  # why it was not taken in; it starts, resolves and cancels nothing

    @property
    def effective_at(self) -> int:
        """The time from which the event takes effect: its receipt, or its `ts` if that was in the future then."""
        return max(self.received_at, self.ts)


def event_fields(event: Event) -> dict[str, Any]:
    """The event as conditions, other languages and the API see it."""
    return {
        "id": event.id,
        "name": event.name,
        "data": event.data,
        "user": event.user,
        "ts": event.ts,
        "v": event.v,
    }


def schemas_by_name(schemas: Iterable[EventSchema]) -> dict[str, dict[str, str]]:
    """The texts by version, by name."""
    found: dict[str, dict[str, str]] = {}
    for each in schemas:
        found.setdefault(each.name, {})[each.v] = each.schema
    return found


class EventTrigger(msgspec.Struct, frozen=True, omit_defaults=True, tag="event", tag_field="type"):
    name: str  # may end in `*`
    when: str | None = None


class CronTrigger(msgspec.Struct, frozen=True, omit_defaults=True, tag="cron", tag_field="type"):
    cron: str
    timezone: str = "UTC"
    jitter: int = 0


Trigger = EventTrigger | CronTrigger


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with full jitter: a random share of `first` * `factor`^(failures-1), at most `cap`."""

    first: int = 1_000
    factor: float = 2.0
    cap: int = 3_600_000


class CancelSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    match: str | None = None
    when: str | None = None
    timeout: int | None = None


class TimeoutSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    start: int | None = None
    finish: int | None = None


class FunctionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a function declares: all that the platform needs to know of it without importing its code."""

    id: str  # as everyone outside its app knows it: `<app>.<id>`
    app: str
    name: str
    triggers: tuple[Trigger, ...] = ()
    retries: int = 4
    backoff: Backoff = Backoff()
    cancel_on: tuple[CancelSpec, ...] = ()
    timeouts: TimeoutSpec = TimeoutSpec()
    on_failure: str | None = None  # the id of the function that runs when a run of this one has failed
    flow: dict[str, Any] = {}  # flow control as declared, one key a feature
    versions: Literal["pinned", "latest"] = "pinned"


WebhookScheme = Literal["standard", "stripe", "github", "slack", "hmac-sha256"]
SignatureFormat = Literal["hex", "base64", "sha256={hex}"]
WEBHOOK_ROOTS = frozenset({"body", "headers"})  # what the expressions of a webhook are about


class WebhookSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A webhook whose sender signs its requests. What is None has its default; the expressions are CEL."""

    name: str  # in the path, and at the beginning of its events' names
    scheme: WebhookScheme
    secret: str  # the variable that holds the secret; in AWS the ARN of the secret
    event: str | None = None  # the name of its events
    id: str | None = None
    data: str | None = None
    user: str | None = None
    header: str | None = None  # where the signature stands; lower case
    format: SignatureFormat | None = None


def lines_of(secret: str) -> list[str]:
    """The secrets that a text holds, one a line: while a secret is changed, the old one and the new one are good."""
    return [line.strip() for line in secret.splitlines() if line.strip()]


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as the journal stores it."""

    type: str
    message: str
    stack: str = ""
    step_id: str | None = None
    retriable: bool = True
    retry_after: int | None = None  # an absolute time that the error itself asked for


class Parent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parent that waits for this run: step `key` of run `run_id`. `chunk` of `chunks`: this run's part of a map."""

    run_id: str
    function_id: str
    key: str
    chunk: int | None = None
    chunks: int = 0


class Place(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One of `limit` places that runs hold under `key`. `label`: the key's value, for people."""

    key: str
    limit: int
    counts: Literal["steps", "runs"] = "steps"
    label: str = ""


class Admission(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What flow control has decided about a run: its position in line, and what it holds, in the order of taking.

    `places`: without all of these its code does not run. `singleton`: held from creation to end.
    """

    rank: int
    places: tuple[Place, ...] = ()
    singleton: Place | None = None


class Pause(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function begins nothing since `at`. `events`: whether those that come meanwhile are kept for later."""

    at: int
    by: str = ""
    events: Literal["keep", "drop"] = "keep"


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bulk replay or cancellation. `rate`: so many runs in so many milliseconds. `turn_at`: of its last turn.

    `cursor`: the last run that it has been through, as (created_at, run_id).
    """

    id: str
    kind: Literal["replay", "cancellation"]
    function_id: str
    statuses: tuple[RunStatus, ...]
    created_at: int
    before: int
    after: int | None = None
    condition: str | None = None
    rate: tuple[int, int] | None = None
    status: str = "running"
    cursor: tuple[int, str] | None = None
    turn_at: int = 0
    matched: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    ended_at: int | None = None


class Head(msgspec.Struct, omit_defaults=True):
    """The summary of a run that lists and the sweep read; the journal is the truth. Stays under 1 KB."""

    run_id: str
    function_id: str
    status: RunStatus
    created_at: int
    due: int | None  # the latest time at which this run must be checked again; None once it has ended
    version: str = ""
    reason: str | None = None
    event_ids: tuple[str, ...] = ()
    user: str | None = None
    attempt: int = 1
    parent: Parent | None = None
    started_at: int | None = None
    ended_at: int | None = None
    end: int | None = None  # the number of the terminal record
    snapshot: int | None = None  # the number of the last record in the snapshot
    finish_by: int | None = None  # a run open after this is cancelled
    start_by: int | None = None  # a run not begun by this is cancelled
    not_before: int | None = None  # a run is not begun before this (its event lies in the future)
    needs_cleanup: bool = False  # it has registered waits or chunks, which its end must delete
    admission: Admission | None = None  # None: its function has no flow control, or nothing was decided yet
    gathers: bool = False  # the run still collects events (debounce, batch)
    rerun_of: str | None = None  # the run that this one repeats
    kept: int | None = None  # nothing of the run expires before this; None: nothing ever expires


class HeadChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changes in a head: `None` leaves a field as it is, except `due` and `reason`, which are always written."""

    status: RunStatus
    due: int | None
    reason: str | None = None
    attempt: int | None = None
    version: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    end: int | None = None
    snapshot: int | None = None
    needs_cleanup: bool | None = None
    admission: Admission | None = None
    not_before: int | None = None
    start_by: int | None = None
    finish_by: int | None = None
    event_ids: tuple[str, ...] | None = None  # all of them; each must find the run
    kept: int | None = None


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """The condition on an awaited event, prepared for lookup by key. Made by `core.match.resolve`.

    `path` and `hash`: the path of the incoming event that must hold the value with this hash (no path: no key).
    `when`: what else must hold, CEL over `event` (the run's own) and `async` (the incoming).
    `never`: a path that the run's own event lacks was compared: nothing can match.
    """

    path: str | None = None
    hash: str = ""
    when: str | None = None
    never: bool = False


class Wait(msgspec.Struct, frozen=True, omit_defaults=True):
    """A wait of a run for an event. Its id derives from run and step, so that storing it twice is harmless.

    `key` is the step's key; a `cancel` wait ends the run instead. Events received at `after` or before don't count
    (`after` is the receipt time of the run's own event, or the time of the wait itself without look-back).
    """

    run_id: str
    function_id: str
    key: str
    name: str
    condition: Condition
    after: int
    until: int | None = None
    label: str = ""
    cancel: bool = False
    own: str = ""  # the id of the run's own event, which never satisfies the wait
    shares: bool = False  # it may receive an event that another wait of the run has already received
    begun: int = 0  # the number of the first record after the wait began
    before: tuple[tuple[str, Condition], ...] = ()  # the step's waits for the same name that come first in the code


def user_key(user: dict[str, Any] | None) -> str | None:
    """The text that indexes a user's events and runs: the first of these ids that the event has."""
    for name in ("id", "external_id", "email", "phone"):
        if user and user.get(name) is not None:
            return str(user[name])
    return None


def name_matches(pattern: str, name: str) -> bool:
    """Whether a trigger's name matches this event name. A `*` matches the platform's events only after their prefix."""
    if not pattern.endswith("*"):
        return pattern == name
    prefix = pattern[:-1]
    if name.startswith(PLATFORM) and not prefix.startswith(PLATFORM):
        return False
    return name.startswith(prefix) and name != SIGNAL


class AtWork(msgspec.Struct, frozen=True, array_like=True):
    """A step whose code is executing. Times in milliseconds."""

    run_id: str
    key: str
    attempt: int
    since: int
    timeout: int | None = None

    def late(self, now: int, grace: int) -> bool:
        """Whether the step has exceeded its timeout by more than the grace."""
        return self.timeout is not None and now > self.since + self.timeout + grace
