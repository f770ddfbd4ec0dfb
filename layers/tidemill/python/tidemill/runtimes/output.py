"""The rules for input, output and failure of a step's program, the same for every runtime.

Input is JSON. A program that takes it as an argument receives up to ARGUMENT_BYTES there; a larger input it fetches
from an `input_url`. Output is a JSON value, else text as `{"body": text}`. An output with a `status` (or `statusCode`)
of 400 or more is a failure; a status that says "do not ask again" is not retried.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from tidemill.errors import TaskFailed
from tidemill.limits import JSON_DEPTH, KIB, MIB, SECOND
from tidemill.model import Failure

if TYPE_CHECKING:
    from tidemill.task import Task

ARGUMENT_BYTES = 7 * KIB  # ECS takes 8 KB for all overrides of a task
OUTPUT_BYTES = 64 * MIB  # of standard output
PAYLOAD_BYTES = 6 * MIB  # of a Lambda's event or response (AWS's limit), and of an HTTP response
QUOTED = 2 * KIB  # how much of a program's last output a failure includes

TIMEOUT = "StepTimeoutError"
REFUSED = "DefinitionError"  # the step cannot run at all: another attempt would not help
_AGAIN = frozenset({408, 409, 425, 429})
_SECONDS = re.compile(r"\d{1,10}")
_LINE = 16 * KIB  # a longer line of a log is broken up
LOG_BYTES = MIB  # log limit of one attempt; of the rest only the end is kept

Clock = Callable[[], int]  # milliseconds since the epoch


def failed(
    type: str, message: str, *, retriable: bool = True, retry_after: int | None = None, stack: str = ""
) -> TaskFailed:
    return TaskFailed(Failure(type, message, stack, retriable=retriable, retry_after=retry_after))


def timed_out(task: Task, milliseconds: int, what: str) -> TaskFailed:
    seconds = f"{milliseconds / SECOND:g} s"
    return failed(TIMEOUT, f"step {task.step.id!r}: {what} had not ended after {seconds} and was stopped")


def encoded(task: Task) -> bytes:
    """The input in the form that every program receives."""
    return msgspec.json.encode(task.input)


def printed(text: bytes) -> Any:
    """The output in a program's standard output: a JSON value, else its text as `{"body": text}`."""
    found, whole = json_of(text)
    return found if whole else {"body": text.decode("utf-8", "replace")}


def json_of(text: bytes) -> tuple[Any, bool]:
    """The JSON value of the text, and True; `None, False` for text that is not JSON, or is nested too deep to keep."""
    try:
        value = msgspec.json.decode(text)
        return (value, True) if _within(value, JSON_DEPTH) else (None, False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False


def _within(value: Any, depth: int) -> bool:
    """Whether the value is nested at most this deep."""
    kind = cast("object", type(value))
    if kind is not dict and kind is not list:
        return True
    return depth > 0 and all(_within(item, depth - 1) for item in (value.values() if kind is dict else value))


def checked(task: Task, output: Any, now: int) -> Any:
    """The output, unless its status is a failure; a Retry-After among its `headers` counts."""
    failure = status_in(task, output, "", now)
    if failure is not None:
        raise failure
    return output


def exited(task: Task, how: str, streams: Streams, now: int) -> TaskFailed:
    """The failure of a non-zero exit. A failing status in the output decides whether to try again.

    `how`: "its process ended with exit code 3".
    """
    failure = status_in(task, printed(streams.out.bytes()), f"{how}, and ", now)
    last = streams.log.last()
    return failure or failed("ExitError", f"step {task.step.id!r}: {how}" + (f": {last}" if last else ""))


def status_in(task: Task, output: Any, before: str, now: int) -> TaskFailed | None:
    """The failure of a status in the output; `before`: the beginning of the message."""
    if not isinstance(output, dict):
        return None
    found = cast("dict[str, Any]", output)
    for name in ("status", "statusCode"):
        status = found.get(name)
        if isinstance(status, int) and not isinstance(status, bool) and status >= 400:
            after = _header(found.get("headers"), "retry-after")
            return status_failed(task, f"{before}its output has the {name} {status}", status, found, after, now)
    return None


def status_failed(task: Task, what: str, status: int, body: Any, after: str | None, now: int) -> TaskFailed:
    """The failure of a status. `after`: the Retry-After that came with it."""
    said = body if isinstance(body, str) else msgspec.json.encode(body).decode()
    message = f"step {task.step.id!r}: {what}" + (f": {said[:QUOTED]}" if said else "")
    again = not 400 <= status < 500 or status in _AGAIN
    return failed("StatusError", message, retriable=again, retry_after=retry_after(after, now) if again else None)


def retry_after(value: str | None, now: int) -> int | None:
    """The time that a Retry-After names (seconds, or an HTTP date); None if it names none."""
    value = (value or "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return now + int(value) * SECOND
    from email.utils import parsedate_to_datetime

    try:
        return max(now, int(parsedate_to_datetime(value).timestamp() * SECOND))
    except (ValueError, OverflowError):
        return None


def _header(headers: object, name: str) -> str | None:
    if not isinstance(headers, dict):
        return None
    found = cast("dict[str, object]", headers)
    return next((str(value) for key, value in found.items() if key.lower() == name), None)


def too_much(task: Task, what: str, limit: int, advice: str) -> TaskFailed:
    """Too much output. Not retried: the same program would put out as much again."""
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit} bytes"
    return failed("OutputTooLarge", f"step {task.step.id!r}: {what} is over {size}; {advice}", retriable=False)


class Bounded:
    """Collects standard output, up to a limit."""

    def __init__(self, limit: int = OUTPUT_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> bool:
        """Whether the output is still within the limit."""
        self._size += len(data)
        if self._size > self._limit:
            self._parts.clear()
            return False
        self._parts.append(data)
        return True

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class StepLog:
    """Logs a program's standard error, line by line, to the logger `tidemill.steps.<function>.<step>`."""

    def __init__(self, task: Task) -> None:
        import logging

        steps = logging.getLogger("tidemill.steps")
        if steps.level == logging.NOTSET:  # a level that the user has set is kept; the default shows everything
            steps.setLevel(logging.INFO)
        self._logger = logging.getLogger(f"tidemill.steps.{task.function_id}.{task.step.id}")
        self._rest = b""
        self._last = b""
        self._bytes = 0

    def take(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        while len(rest) > _LINE:
            lines.append(rest[:_LINE])
            rest = rest[_LINE:]
        self._rest = rest
        for line in lines:
            self._say(line)

    def end(self) -> None:
        """The stream has ended: the last line may lack its line break."""
        if self._rest:
            self._say(self._rest)
            self._rest = b""
        if self._bytes > LOG_BYTES:
            self._logger.warning("it said %d bytes more, which are not shown", self._bytes - LOG_BYTES)

    def last(self) -> str:
        """The end of the output, for the message of a failure."""
        return self._last.decode("utf-8", "replace").strip()

    def _say(self, line: bytes) -> None:
        self._bytes += len(line) + 1
        if self._bytes <= LOG_BYTES:
            self._logger.info("%s", _plain(line.decode("utf-8", "replace").rstrip("\r")))
        self._last = (self._last + b"\n" + line)[-QUOTED:]


def _plain(line: str) -> str:
    """Text without control sequences, since terminals show it."""
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)


class Streams(NamedTuple):
    """A program's standard output and standard error."""

    out: Bounded
    log: StepLog
