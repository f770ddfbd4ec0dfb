"""The types of messages in a function's queue: an event that may start a run, a run to check, a tick of a cron trigger,
and for a definition the end of a remote attempt (see `step_results`)."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import characters, duration
from tidemill.model import Event, Failure


class Start(msgspec.Struct, frozen=True):
    """An event in EventBridge's envelope."""

    event: Event


class Wake(msgspec.Struct, frozen=True):
    """Check this run; `at`: not before. `gave_up`: the executor that had claimed the run and does not go on."""

    run_id: str
    at: int | None = None
    gave_up: str = ""


class Tick(msgspec.Struct, frozen=True):
    cron: str
    timezone: str
    at: int


class StepFinished(msgspec.Struct, frozen=True):
    """An attempt of a step has ended, with a value (JSON, here or in a blob), or failed."""

    run_id: str
    step_id: str
    attempt: int
    value: bytes | None = None
    blob: str | None = None
    failure: Failure | None = None


class Stopped(msgspec.Struct, frozen=True):
    """A step's task has stopped. `mark` identifies the step; `codes` by container; `at`: when, if known."""

    run_id: str
    mark: str
    attempt: int
    task: str  # its ARN
    codes: dict[str, int | None]
    code: str  # why, as ECS names it: "EssentialContainerExited"
    reason: str
    at: int | None = None


Message = Start | Wake | Tick | StepFinished | Stopped


class NotAMessage(Exception):
    """A body that is not a message of Tidemill; one sentence says why."""


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
    from tidemill.aws.messages import step_results as told  # only definitions have such steps

    return told.read(body)


def text(message: dict[str, Any]) -> str:
    return characters.escaped(msgspec.json.encode(message).decode())


def _time(at: str) -> int:
    try:
        return duration.parse_time(at)
    except ValueError:
        raise NotAMessage(f"the message is none of Tidemill's: at is no ISO time: {at[:100]!r}") from None
