"""The types of messages in a function's queue: an event that may start a run, a run to check, a tick of a cron trigger,
a definition's function, how an attempt of a step ended that went on elsewhere (see `step_results`)."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import characters
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


def text(message: dict[str, Any]) -> str:
    return characters.escaped(msgspec.json.encode(message).decode())
