"""Parses messages about the end of a remote attempt; three kinds, from three senders.

{"ended": {...}}                       a step's Lambda that ended late (`aws.runtimes.step_handler`)
{"requestContext": ..., ...}           Lambda, about a function that it ran asynchronously (a destination)
{"source": "aws.ecs", "detail": ...}   ECS, about a container that has stopped
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tidemill.aws.messages.lambda_answers import failure_of
from tidemill.aws.messages.types import NotAMessage, StepFinished, Stopped
from tidemill.model import Failure

_ABSENT = msgspec.Raw()


class _Ended(msgspec.Struct):
    run_id: str
    step_id: str
    attempt: int
    value: msgspec.Raw = _ABSENT
    blob: str | None = None
    failure: Failure | None = None


class _About(msgspec.Struct):
    run_id: str
    step_id: str
    attempt: int


class _Payload(msgspec.Struct):
    ctx: _About


class _Context(msgspec.Struct):
    condition: str = "Success"


class _Response(msgspec.Struct):
    error: str | None = msgspec.field(name="functionError", default=None)


class _Record(msgspec.Struct):
    request: _Context = msgspec.field(name="requestContext")
    payload: _Payload = msgspec.field(name="requestPayload")
    response: _Response = msgspec.field(name="responseContext", default_factory=_Response)
    answer: msgspec.Raw = msgspec.field(name="responsePayload", default=_ABSENT)


class _Container(msgspec.Struct):
    name: str
    code: int | None = msgspec.field(name="exitCode", default=None)
    reason: str = ""


class _Task(msgspec.Struct):
    arn: str = msgspec.field(name="taskArn")
    status: str = msgspec.field(name="lastStatus")
    started_by: str = msgspec.field(name="startedBy", default="")
    stop_code: str = msgspec.field(name="stopCode", default="")
    reason: str = msgspec.field(name="stoppedReason", default="")
    stopped_at: str | None = msgspec.field(name="stoppedAt", default=None)
    containers: list[_Container] = []


class _Body(msgspec.Struct):
    source: str = ""
    detail: msgspec.Raw = _ABSENT
    ended: _Ended | None = None
    request: msgspec.Raw = msgspec.field(name="requestContext", default=_ABSENT)


def read(body: str) -> StepFinished | Stopped:
    """Raises NotAMessage."""
    try:
        found = msgspec.json.decode(body, type=_Body)
        if found.ended is not None:
            return _ended(found.ended)
        if found.request:
            return _recorded(msgspec.json.decode(body, type=_Record))
        if found.source == "aws.ecs" and found.detail:
            return _stopped(msgspec.json.decode(found.detail, type=_Task))
    except (msgspec.DecodeError, ValueError) as error:
        raise NotAMessage(f"the message is none of Tidemill's: {error}") from None
    raise NotAMessage("the message is none of Tidemill's: it names no run, no step and no container")


def _ended(found: _Ended) -> StepFinished:
    return StepFinished(
        found.run_id, found.step_id, found.attempt, bytes(found.value) if found.value else None,
        found.blob, found.failure,
    )  # fmt: skip


def _recorded(found: _Record) -> StepFinished:
    about = found.payload.ctx
    answer = bytes(found.answer) or b"null"
    if found.request.condition == "Success" and found.response.error is None:
        return StepFinished(about.run_id, about.step_id, about.attempt, answer)
    if found.response.error is None:
        sentence = f"Lambda did not run it: {found.request.condition}"
        return StepFinished(
            about.run_id, about.step_id, about.attempt, failure=Failure(found.request.condition, sentence)
        )
    return StepFinished(about.run_id, about.step_id, about.attempt, failure=failure_of(answer))


def _stopped(found: _Task) -> Stopped:
    if found.status != "STOPPED":
        raise NotAMessage(f"the message is none of Tidemill's: {found.arn} is {found.status}, not STOPPED")
    run_id, attempt, mark = _started_by(found)
    at = datetime.fromisoformat(found.stopped_at) if found.stopped_at else None
    codes: dict[str, Any] = {one.name: one.code for one in found.containers}
    reasons = [found.reason, *(f"{one.name}: {one.reason}" for one in found.containers if one.reason)]
    return Stopped(
        run_id, mark, attempt, found.arn, codes, found.stop_code, "; ".join(reason for reason in reasons if reason),
        round(at.timestamp() * 1_000) if at is not None else None,
    )  # fmt: skip


def _started_by(found: _Task) -> tuple[str, int, str]:
    """Parses the text that `runtimes.fargate` wrote: <run>/<attempt>/<mark of the step>."""
    parts = found.started_by.split("/")
    if len(parts) != 3 or not parts[1].isdecimal():
        raise NotAMessage(f"the message is none of Tidemill's: {found.arn} was started by {found.started_by!r}")
    return parts[0], int(parts[1]), parts[2]
