"""The format of an event on the deployment's bus, and of EventBridge's envelope around it.

Source      "tidemill"; other senders have other sources
DetailType  the first 128 characters of the event's name: EventBridge takes no more, so rules match detail.name
Detail      {"id", "name", "data", "ts", "received_at", "user"?, "v"?, "inexact"?}: the last is true if the event
            holds numbers that EventBridge cannot compare (see `core.comparable`)
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

import msgspec

from tidemill import characters
from tidemill.core.comparable import is_exact
from tidemill.limits import EVENT_BYTES
from tidemill.model import ENDS, Event

SOURCE = "tidemill"
DETAIL_TYPE_CHARS = 128
ENTRY_BYTES = 1_000_000  # of a request: AWS says "less than 1 MB", without the exact number

_encoder = msgspec.json.Encoder()


class Envelope(msgspec.Struct, frozen=True):
    """EventBridge's message to a rule's target. `detail` is its JSON, not yet parsed."""

    id: str
    source: str
    detail_type: str = msgspec.field(name="detail-type")
    time: datetime
    detail: msgspec.Raw

    @property
    def ours(self) -> bool:
        return self.source == SOURCE


_envelope = msgspec.json.Decoder(Envelope)
_event = msgspec.json.Decoder(Event)


def read(body: str | bytes) -> Envelope:
    """The envelope in the body of a message. Raises ValueError if there is none."""
    try:
        return _envelope.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"this message is no event of EventBridge: {error}") from None


def event_of(envelope: Envelope) -> Event:
    """The event in a Tidemill envelope. Raises ValueError if its detail is not an event."""
    try:
        return _event.decode(envelope.detail)
    except msgspec.DecodeError as error:
        raise ValueError(f"the event {envelope.id} says that it is from {SOURCE!r}, but is none: {error}") from None


def entry(event: Event, bus: str) -> dict[str, str]:
    """The event as an entry of PutEvents."""
    sent = fitting(event)
    detail = _encoder.encode(sent).decode()
    if not (is_exact(sent.data) and is_exact(sent.user)):
        detail = f'{detail[:-1]},"inexact":true}}'
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": event.name[:DETAIL_TYPE_CHARS],
        "Detail": detail,
    }


def entry_bytes(entry: dict[str, str]) -> int:
    """The size of an entry by AWS's rule: source, detail type and detail in UTF-8."""
    return sum(len(entry[part].encode()) for part in ("Source", "DetailType", "Detail"))


def fitting(event: Event) -> Event:
    """If an announced end has values that cannot be sent (too large, or with characters that a queue refuses), the
    announcement names the run where they can be read, and their size.

    Users' events are checked when they arrive; only the platform's own events can be too large here.
    """
    if event.name not in ENDS:
        return event
    encoded = _encoder.encode(event)
    if len(encoded) <= EVENT_BYTES and not characters.any_in(encoded):
        return event
    data = dict(event.data)
    began = cast("dict[str, Any] | None", data.get("event"))
    if began is not None:
        data["event"] = {**began, "data": _elsewhere(data["run_id"], began.get("data"))}
    data["output"] = _elsewhere(data["run_id"], data.get("output"))
    if data.get("error") is not None:
        data["error"] = {k: characters.cleaned(v) if isinstance(v, str) else v for k, v in data["error"].items()}
    return msgspec.structs.replace(event, data=data)


def _elsewhere(run_id: Any, value: object) -> object:
    encoded = _encoder.encode(value)
    too_much = len(encoded) > EVENT_BYTES // 3 or characters.any_in(encoded)
    return {"$large": f"/v1/runs/{run_id}", "bytes": len(encoded)} if too_much else value
