"""What a container has put out, read from CloudWatch Logs.

A container's two streams would be one in CloudWatch. So its log goes through FireLens, which makes a record of each
line and says where it comes from: `{"source": "stdout", "log": "...", ...}`. A line over 16 KB comes in parts, with
`partial_id` and `partial_ordinal`; they are put together again here.

CloudWatch shows an event a little after it has taken it, and promises no time. So the log is read some seconds after
the container has stopped, and what looks as if something were missing (nothing at all, or JSON that breaks off) is read
again until a minute has passed.
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
PATIENCE = MINUTE  # after the stop: then it is what it is


class _Line(msgspec.Struct):
    source: str = "stdout"
    log: str = ""
    partial_id: str = ""
    partial_ordinal: str = "0"
    partial_last: str = "true"


def stream_name(step: str, task_arn: str) -> str:
    """As FireLens names it: the prefix that CDK gives, the container's name, the task's id."""
    return f"{step}/step-firelens-{task_arn.rpartition('/')[2]}"


class TooLong(Exception):
    """It has put out more than anybody reads."""


def standard_output(client: Client, group: str, stream: str) -> bytes | None:
    """What went to standard output, so far as it is to be seen now; None: there is no log. Raises TooLong."""
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
    """Whether nothing seems to be missing."""
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
    while True:  # ends: each page begins after the one before
        page = client.call("logs", "GetLogEvents", {**asked, "nextToken": token} if token else asked)
        yield from (str(event["message"]) for event in page.get("events", ()))
        following = page.get("nextForwardToken")
        if following is None or following == token:  # the end is where the token stays
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
    for found in parts.values():  # whose last part is not to be seen yet
        yield "".join(found[number] for number in sorted(found)).encode() + b"\n"
