"""Parses the body of a request into events. A fast path decodes into typed structs; if anything is unusual, the slow
path (`refuse`) reads the plain JSON and names every problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tidemill.aws.messages.envelope import Envelope
from tidemill.ids import ulid
from tidemill.limits import DELAY, EVENT_BYTES, EVENT_ID_CHARS, EVENT_NAME_CHARS, JSON_DEPTH, REQUEST_EVENTS
from tidemill.model import PLATFORM, Event
from tidemill.ports import Entropy
from tidemill_lambdas.http import Refused, Request
from tidemill_lambdas.ingest import cloudevents, refuse
from tidemill_lambdas.strict_json import odd, too_deep

_Name = Annotated[str, Meta(min_length=1, max_length=EVENT_NAME_CHARS)]
_Text = Annotated[str, Meta(min_length=1, max_length=EVENT_ID_CHARS)]


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    data: dict[str, Any] = {}
    id: _Text | UnsetType = UNSET
    ts: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    user: dict[str, Any] | UnsetType = UNSET
    v: _Text | UnsetType = UNSET


class _Cloud(_Sent):
    data_context: dict[str, Any] = {}


_one = msgspec.json.Decoder(_Sent)
_many = msgspec.json.Decoder(Annotated[list[_Sent], Meta(min_length=1, max_length=REQUEST_EVENTS)])


def events(body: bytes, now: int, entropy: Entropy) -> list[Event]:
    """The events of a body: one, or an array. Raises Refused if any of them is invalid."""
    array = body.lstrip()[:1] == b"["
    levels = JSON_DEPTH + array
    sent = None if too_deep(body, levels) else _decoded(body, array)
    if sent is None or len(body) > EVENT_BYTES or not all(_fine(each, now) for each in sent) or odd(body, sent):
        sent = [msgspec.convert(each, _Sent) for each in refuse.checked(refuse.value_of(body, levels), now)]
    return [_event(each, now, entropy) for each in sent]


def cloud(request: Request, body: bytes, now: int, entropy: Entropy) -> list[Event]:
    """The events of a request that carries CloudEvents. Raises Refused if any of them is invalid."""
    sent = [msgspec.convert(each, _Cloud) for each in cloudevents.events(request, body, now)]
    return [msgspec.structs.replace(_event(each, now, entropy), data_context=each.data_context) for each in sent]


def webhook(name: str, body: bytes, now: int, entropy: Entropy) -> Event:
    """The event of a webhook: its name from the path, any JSON object as its data. Raises Refused."""
    return of_fields({"name": name, "data": refuse.object_of(refuse.value_of(body, JSON_DEPTH))}, now, entropy)


def of_fields(told: dict[str, Any], now: int, entropy: Entropy) -> Event:
    """The event that these fields tell. Raises Refused."""
    (sent,) = refuse.checked(told, now)
    return _event(msgspec.convert(sent, _Sent), now, entropy)


def foreign(envelope: Envelope, now: int, entropy: Entropy) -> Event:
    """The event that somebody put on the bus without us. Raises Refused.

    Its detail is the event where it names the same as the detail-type; any other detail is the event's data. What it
    does not say itself, EventBridge does: id and time.
    """
    detail = refuse.object_of(refuse.value_of(bytes(envelope.detail), JSON_DEPTH))
    if detail.get("name") != envelope.detail_type:
        detail = {"name": envelope.detail_type, "data": detail}
    return of_fields({"id": envelope.id, "ts": round(envelope.time.timestamp() * 1_000), **detail}, now, entropy)


def again(event: Event, given: Mapping[str, Any], now: int, entropy: Entropy) -> Event:
    """A rejected event as it would be taken in now, with the `data` and `v` that are given in place of its own, under
    its own id. Raises Refused."""
    sent = event.rejected.body if event.rejected is not None else None
    body: dict[str, Any] = cast("dict[str, Any]", sent) if isinstance(sent, dict) else {}
    detail = (
        dict(body)
        if body.get("name") == event.name
        else {"name": event.name, "data": event.data or body, **_user_of(event)}
    )
    if not body and not event.data and "data" not in given:
        raise Refused(400, "what was rejected is no JSON object; give the data that the event is to have", errors=[])
    return of_fields({"ts": event.ts, **detail, **given, "id": event.id}, now, entropy)


def _user_of(event: Event) -> dict[str, Any]:
    return {"user": event.user} if event.user is not None else {}


def _decoded(body: bytes, array: bool) -> list[_Sent] | None:
    try:
        return _many.decode(body) if array else [_one.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _fine(sent: _Sent, now: int) -> bool:
    """Whether nothing in it needs a second look; what is not printable may still be allowed."""
    return (
        sent.name.isprintable()
        and not sent.name.startswith(PLATFORM)
        and (sent.id is UNSET or sent.id.isprintable())
        and (sent.v is UNSET or sent.v.isprintable())
        and (sent.ts is UNSET or sent.ts <= now + DELAY)
    )


def _event(sent: _Sent, now: int, entropy: Entropy) -> Event:
    return Event(
        sent.id if sent.id is not UNSET else ulid(now, entropy.bytes(10)),
        sent.name,
        sent.data,
        sent.ts if sent.ts is not UNSET else now,
        now,
        sent.user if sent.user is not UNSET else None,
        sent.v if sent.v is not UNSET else None,
    )
