"""Reads a message of a function's queue."""

from __future__ import annotations

import msgspec

from tidemill import duration
from tidemill.aws.messages.types import Message, NotAMessage, Start, StepFinished, Stopped, Tick, Wake
from tidemill.model import Event


class _Cron(msgspec.Struct):
    cron: str
    timezone: str = "UTC"


_ABSENT = msgspec.Raw()


class _Body(msgspec.Struct):
    """The fields of all types; those present decide the type. Other fields of EventBridge's envelope are ignored."""

    detail: Event | None = None
    look: str | None = None
    gave_up: str = ""
    cron: _Cron | None = None
    at: int | str | None = None
    ended: msgspec.Raw = _ABSENT
    request: msgspec.Raw = msgspec.field(name="requestContext", default=_ABSENT)


_decode = msgspec.json.Decoder(_Body).decode


def read(body: str) -> Message:
    """Raises NotAMessage."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        if '"aws.ecs"' in body:  # its detail is not a Tidemill event
            return _elsewhere(body)
        raise NotAMessage(f"the message is none of Tidemill's: {error}") from None
    if found.detail is not None:
        return Start(found.detail)
    if found.look:
        return Wake(found.look, found.at if isinstance(found.at, int) else None, found.gave_up)
    if found.cron is not None and isinstance(found.at, str):
        return Tick(found.cron.cron, found.cron.timezone, _time(found.at))
    if found.ended or found.request:
        return _elsewhere(body)
    raise NotAMessage("the message is none of Tidemill's: it has neither an event (detail), nor look, nor cron and at")


def _elsewhere(body: str) -> StepFinished | Stopped:
    from tidemill.aws.messages import step_results  # only definitions have such steps

    return step_results.read(body)


def _time(at: str) -> int:
    try:
        return duration.parse_time(at)
    except ValueError:
        raise NotAMessage(f"the message is none of Tidemill's: at is no ISO time: {at[:100]!r}") from None
