"""What a function's queue carries: an event that may start a run, a run to look at, a tick of a cron trigger."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import duration
from tidemill.model import Event


class Start(msgspec.Struct, frozen=True):
    """An event, as EventBridge hands it over."""

    event: Event


class Look(msgspec.Struct, frozen=True):
    """Look at this run; `at`: not before."""

    run_id: str
    at: int | None = None


class Tick(msgspec.Struct, frozen=True):
    cron: str
    timezone: str
    at: int


class NotAMessage(Exception):
    """A body that is none of ours; one sentence says why."""


class _Cron(msgspec.Struct):
    cron: str
    timezone: str = "UTC"


class _Body(msgspec.Struct):
    """All three; which one it is, its fields tell. What else EventBridge puts around an event is left unread."""

    detail: Event | None = None
    look: str | None = None
    cron: _Cron | None = None
    at: int | str | None = None


_decode = msgspec.json.Decoder(_Body).decode


def read(body: str) -> Start | Look | Tick:
    """Raises NotAMessage."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise NotAMessage(f"the message is none of Tidemill's: {error}") from None
    if found.detail is not None:
        return Start(found.detail)
    if found.look:
        return Look(found.look, found.at if isinstance(found.at, int) else None)
    if found.cron is not None and isinstance(found.at, str):
        return Tick(found.cron.cron, found.cron.timezone, _time(found.at))
    raise NotAMessage("the message is none of Tidemill's: it has neither an event (detail), nor look, nor cron and at")


def text(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def _time(at: str) -> int:
    try:
        return duration.parse_time(at)
    except ValueError:
        raise NotAMessage(f"the message is none of Tidemill's: at is no ISO time: {at[:100]!r}") from None
