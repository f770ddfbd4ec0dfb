"""The port `Logs` on CloudWatch Logs: reads the lines that the code of runs has logged.

`ctx.logger` writes lines of JSON there that name the run (`engine.drive.trace.log`). The log group is that of the app's
Lambda, as the registry knows it. FilterLogEvents looks through a part of the group at a time: a page may be empty and
not the last. Its token is good for 24 hours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError, Client
from tidemill.limits import LOG_MESSAGE, MINUTE
from tidemill.model import Head
from tidemill.run_logs import Cursor, LogLine, LogPage

_EMPTY = 10  # empty pages in a row, after which the caller asks again
_SKEW = MINUTE  # between the clocks of those who write
_LATE = 10 * MINUTE  # after the end of a run no code of its is at work any more, but a zombie's


class _Line(msgspec.Struct):
    run_id: str = ""
    logger: str = ""
    level: str = "INFO"
    message: Any = ""
    step: str | None = None
    attempt: int = 1
    mark: str = ""
    errorType: str = ""  # noqa: N815 - Lambda's name, as the next two
    errorMessage: str = ""  # noqa: N815
    stackTrace: list[str] = []  # noqa: N815


_decode = msgspec.json.Decoder(_Line).decode


class CloudWatchLogs:
    """`group_of`: the log group of a function's Lambda, where it is known."""

    def __init__(self, client: Client, group_of: Callable[[str], str | None]) -> None:
        self._client = client
        self._group_of = group_of

    def page(self, head: Head, limit: int, cursor: Cursor | None) -> LogPage:
        group = self._group_of(head.function_id)
        if group is None:
            return LogPage((), None)
        asked = _asked(group, head, limit)
        token = cursor[1] if cursor is not None else None
        lines: list[LogLine] = []
        for _ in range(_EMPTY):
            answer = self._answer({**asked, "nextToken": token} if token else asked, token)
            lines = _once(_lines(answer, head))
            token = answer.get("nextToken")
            if lines or token is None:
                break
        return LogPage(lines, (0, token) if token is not None else None)

    def _answer(self, asked: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        try:
            return self._client.call("logs", "FilterLogEvents", asked)
        except AwsError as error:
            if error.code == "ResourceNotFoundException":  # the log, or its function, has been deleted
                return {}
            if error.code == "InvalidParameterException" and token is not None:
                raise LookupError("this cursor is too old: it is good for 24 hours; begin again without it") from None
            raise


def _asked(group: str, head: Head, limit: int) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "logGroupName": group,
        "filterPattern": f'{{ $.run_id = "{head.run_id}" && $.logger = "tidemill.{head.function_id}" }}',
        "startTime": head.created_at - _SKEW,
        "limit": limit,
    }
    return asked if head.ended_at is None else {**asked, "endTime": head.ended_at + _LATE}


def _lines(answer: Mapping[str, Any], head: Head) -> list[LogLine]:
    lines: list[LogLine] = []
    for event in answer.get("events") or ():
        try:
            line = _decode(event["message"])
        except msgspec.DecodeError:
            continue
        if (line.run_id, line.logger) == (head.run_id, f"tidemill.{head.function_id}"):
            text, level = _text(line), line.level.lower()
            lines.append(LogLine(head.run_id, event["timestamp"], level, text, line.step, line.attempt, line.mark))
    return lines


def _once(lines: list[LogLine]) -> list[LogLine]:
    """Each line once, where code that ran again after a crash has said it again."""
    kept: dict[object, LogLine] = {}
    for line in lines:
        kept.setdefault(line.mark or id(line), line)
    return list(kept.values())


def _text(line: _Line) -> str:
    text = line.message if isinstance(line.message, str) else msgspec.json.encode(line.message).decode()
    if line.errorType:
        text += "\n" + "".join(line.stackTrace) + f"{line.errorType}: {line.errorMessage}"
    return text if len(text) <= LOG_MESSAGE else text[: LOG_MESSAGE - 1] + "…"
