"""Reads a container's output from CloudWatch Logs.

CloudWatch would merge a container's two streams. So its log goes through FireLens, which makes a record of each
line and says where it comes from: `{"source": "stdout", "log": "...", ...}`. A line over 16 KB comes in parts, with
`partial_id` and `partial_ordinal`; they are put together again here.

CloudWatch shows a log event a little after it has accepted it, and promises no time. So the log is read some seconds
after the container has stopped, and an incomplete log (empty, or JSON that breaks off) is read again until a minute has
passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tidemill.aws.calls.client import AwsError, Client
from tidemill.limits import MINUTE, SECOND
from tidemill.runtimes.output import OUTPUT_BYTES, Bounded

SETTLING = 5 * SECOND  # after the stop: not read before
AGAIN = 10 * SECOND
PATIENCE = MINUTE  # after the stop: then the log is taken as complete


class _Line(msgspec.Struct):
    source: str = "stdout"
    log: str = ""
    partial_id: str = ""
    partial_ordinal: str = "0"
    partial_last: str = "true"


def stream_name(step: str, task_arn: str) -> str:
    """The log stream's name by FireLens: the prefix that CDK sets, the container's name, the task's id."""
    return f"{step}/step-firelens-{task_arn.rpartition('/')[2]}"


class TooLong(Exception):
    """The output is larger than the limit."""


def standard_output(client: Client, group: str, stream: str) -> bytes | None:
    """Standard output as far as CloudWatch shows it now; None: there is no log. Raises TooLong."""
    taken = Bounded(OUTPUT_BYTES)
    try:
        for text in _joined(_lines(_messages(client, group, stream))):
            if not taken.take(text):
                raise TooLong
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        return None
    return taken.bytes()


def looks_whole(text: bytes | None) -> bool:
    """Whether the output seems complete."""
    if not text or not text.strip():
        return False
    if text.lstrip()[:1] not in (b"{", b"[", b'"'):
        return True
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _messages(client: Client, group: str, stream: str) -> Iterator[str]:
    asked: dict[str, Any] = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    token: str | None = None
    while True:  # terminates: each page begins after the one before
        page = client.call("logs", "GetLogEvents", {**asked, "nextToken": token} if token else asked)
        yield from (str(event["message"]) for event in page.get("events", ()))
        following = page.get("nextForwardToken")
        if following is None or following == token:  # at the end the token no longer changes
            return
        token = following


def _lines(messages: Iterable[str]) -> Iterator[_Line]:
    for message in messages:
        try:
            yield msgspec.json.decode(message, type=_Line)
        except msgspec.DecodeError:
            yield _Line(log=message)


def _joined(lines: Iterable[_Line]) -> Iterator[bytes]:
    """Standard output, line by line, the parts of a long one together."""
    parts: dict[str, dict[int, str]] = {}
    for line in lines:
        if line.source != "stdout":
            continue
        if not line.partial_id:
            yield line.log.encode() + b"\n"
            continue
        found = parts.setdefault(line.partial_id, {})
        found[int(line.partial_ordinal)] = line.log
        if line.partial_last == "true":
            del parts[line.partial_id]
            yield "".join(found[number] for number in sorted(found)).encode() + b"\n"
    for found in parts.values():  # its last part is not visible yet
        yield "".join(found[number] for number in sorted(found)).encode() + b"\n"
