"""The types of a journal's records: one for everything that can happen to a run.

A run *is* its journal. A record is appended at the next number on the condition that this number is free;
that append is the only lock. The writers of each type:

    Started      the creator of the run         number 0: the events, and the fields that never change
    Claimed      an executor                    "this run's code runs here, until then"
    StepDone     the claim's executor           a step ended for good: its value, or its final error
    StepTried    the claim's executor           an attempt of a step failed; when the next one is due
    AttemptFailed the claim's executor          an error between steps; when the function is tried again
    Suspended    the claim's executor           nothing to do until then; what each blocked step waits for
    HandedOver   the claim's executor           a planned move to a fresh executor; costs no attempt
    Resolved     an outsider, or the executor   the end of a blocked step's wait (or its timeout)
    Ended        the claim's executor           terminal: completed or failed
    Cancelled    an outsider                    terminal
    Skipped      the admission                  terminal: never begun
    Admitted     the admission                  the decision of flow control about the run, once
    Gathered     the intake of an event         one more event of a debounced or batched run
    Begun        the claim's executor           the chunks of a map are started from here on
    WindowSet    the intake of an event         a debounced or batched run collects from now on, or takes no more
    Validated    the claim's executor           the events' data as the model first validated it
    Patched      the claim's executor           what `ctx.patched` answered: the new way of the code, or the old

Values are bytes, as `tidemill.values` makes them. Records that are decided together may be appended together;
each still has its number.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tidemill.model import Admission, Event, Failure, Parent, Place, StepKind, Wait

FORMAT = 1  # the format of the records below; a journal in a newer format is refused


class _Record(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Arrays rather than objects: half the bytes, and DynamoDB bills by the kilobyte."""


class Started(_Record, frozen=True, tag=0):
    at: int
    function_id: str
    events: tuple[Event, ...]
    version: str = ""
    parent: Parent | None = None
    input: bytes | None = None  # a rerun's own input, in place of the event's data
    notes: tuple[str, ...] = ()
    format: int = FORMAT
    again: bool = False  # a rerun, by hand: no rate limit or idempotency key turns it away
    escapes: bool = False  # step ids that look like a branch's key are escaped (see `step_keys`)


class Claimed(_Record, frozen=True, tag=1):
    at: int
    by: str
    until: int
    version: str = ""


class StepDone(_Record, frozen=True, tag=2):
    key: str
    kind: StepKind
    started_at: int
    at: int
    attempts: int = 1
    value: bytes | None = None
    failure: Failure | None = None


class StepTried(_Record, frozen=True, tag=3):
    key: str
    kind: StepKind
    started_at: int
    at: int
    attempt: int
    failure: Failure
    retry_at: int


class AttemptFailed(_Record, frozen=True, tag=4):
    at: int
    attempt: int
    failure: Failure
    retry_at: int


class Blocked(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A step that cannot go on: asleep until `until`, or waiting for something at most until then."""

    key: str
    kind: StepKind
    since: int
    until: int | None = None
    name: str = ""  # the awaited event, the signal, or the function invoked
    waits: tuple[Wait, ...] = ()


class Suspended(_Record, frozen=True, tag=5):
    at: int
    due: int | None  # the earliest timeout or wake time of a blocked step
    blocked: tuple[Blocked, ...]
    more: bool = False  # they come to those that the journal knew before; else they are all
    gone: tuple[str, ...] = ()  # blocked steps that the code no longer waits for


class HandedOver(_Record, frozen=True, tag=6):
    """`untold`: steps whose end the code has not been told yet, and branches that have not begun."""

    at: int
    blocked: tuple[Blocked, ...] = ()
    untold: tuple[str, ...] = ()


class Resolved(_Record, frozen=True, tag=7):
    """The end of a blocked step's wait. The first record counts; a repetition changes nothing.

    `event`: the event that matched (its `label` among the waits; `wait` is the digest of name and condition, so that
    a later wait of the same kind does not take it again). No event, value or failure: the wait timed out.
    """

    key: str
    at: int
    value: bytes | None = None
    failure: Failure | None = None
    event: Event | None = None
    label: str = ""
    wait: str = ""
    after: int | None = None  # the wait looked for events received later than this


class Ended(_Record, frozen=True, tag=8):
    at: int
    status: Literal["completed", "failed"]
    value: bytes | None = None
    failure: Failure | None = None


class Cancelled(_Record, frozen=True, tag=9):
    at: int
    reason: str


class Skipped(_Record, frozen=True, tag=10):
    """`unique`, `alone`: the idempotency key and the singleton's place that it had got before; its end frees them."""

    at: int
    reason: str
    unique: str = ""
    singleton: Place | None = None


class Admitted(_Record, frozen=True, tag=11):
    """Reserved once, however often the message comes. `begin`: the throttle's slot, where that lies ahead.

    The last record counts: a delayed run gets another turn, by its number (`put_off`). `throttle`: the key of the
    throttle that gave the turn.
    """

    at: int
    admission: Admission
    begin: int | None = None
    put_off: int = 0
    throttle: str = ""


class Gathered(_Record, frozen=True, tag=12):
    """`last`: the code receives only the last event (debounce), else all of them (batch). `full`: the run takes no
    more. `number`: the record's own. `event` is None after a long debounce has dropped it.
    """

    at: int
    event: Event | None
    last: bool = False
    full: bool = False
    number: int = 0


class WindowSet(_Record, frozen=True, tag=13):
    """`open`: the run's delayed event is due, and the run collects from now on. Else it takes no more events."""

    at: int
    open: bool


class Begun(_Record, frozen=True, tag=14):
    """This map starts, with this number of chunks. Appended before the first chunk exists: the run's end finds all."""

    at: int
    key: str
    parts: int


class Validated(_Record, frozen=True, tag=15):
    """The events' data as the function's model validated it, one value per event, if the model would give another value
    the next time (a `default_factory` that draws an id). Appended with the first record that the code writes.
    """

    at: int
    data: tuple[bytes, ...]


class Patched(_Record, frozen=True, tag=16):
    """Whether the run goes the new way of its code at this change, by the change's id. The first record counts.
    Appended with the first record that the code writes after it asked.
    """

    at: int
    id: str
    new: bool


Record = (
    Started | Claimed | StepDone | StepTried | AttemptFailed | Suspended | HandedOver | Resolved
    | Ended | Cancelled | Skipped | Admitted | Gathered | WindowSet | Begun | Validated | Patched
)  # fmt: skip
Terminal = (Ended, Cancelled, Skipped)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    return _encoder.encode(record)


def decode(data: bytes) -> Record:
    return _decoder.decode(data)
