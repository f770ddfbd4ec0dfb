"""Sends many events from a file with one JSON object per line.

Every line is checked before anything is sent: if one is bad, the error names all bad lines, and nothing is sent. Each
event gets its id here, so that sending an array again whose answer was lost starts nothing twice.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import sleep, time_ns
from typing import Any, cast

from tidemill.ids import ulid
from tidemill.limits import EVENT_BYTES, EVENT_NAME_CHARS, KIB, REQUEST_BYTES
from tidemill_local.cli.arguments import kind, parse, read_bytes
from tidemill_local.cli.http import Api, Refusal, Unreachable
from tidemill_local.cli.pacing import Clock, paced
from tidemill_local.cli.stop import FAILED, USAGE, Stop

_MOST_NAMED = 20  # bad lines
_PAUSES = (0.2, 1.0, 3.0)  # seconds, before an array is sent again
_ARRAY_EVENTS = 1_000  # in one request: few enough to repeat lightly, and far below what a request may hold


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    event: bytes
    ts: int | None = None


def read(name: str, event_name: str | None, user: str | None, from_line: int = 1) -> list[Line]:
    """The events of a file, from this line on. With `event_name`, a line whose `name` is not that is the data of an
    event of that name.

    `user` is the user of every event that names none. Raises Stop with every bad line.
    """
    lines: list[Line] = []
    problems: list[str] = []
    for number, raw in enumerate(_raw(name).split(b"\n"), 1):
        if number < from_line or not raw.strip():
            continue
        try:
            lines.append(_line(number, raw, event_name, user))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        more = [f"and {len(problems) - _MOST_NAMED:,} more"] if len(problems) > _MOST_NAMED else []
        named = "\n  ".join([*problems[:_MOST_NAMED], *more])
        raise Stop(USAGE, f"{name} has lines that are no events; nothing was sent\n  {named}")
    if not lines:
        raise Stop(USAGE, f"{name} has no events{_from(from_line)}; write one JSON object a line")
    return lines


def send(api: Api, lines: list[Line], speed: float | None = None, clock: Clock = Clock()) -> list[str]:  # noqa: B008
    """Send them all, in order, in arrays; with a `speed`, as far apart as their `ts`. Raises Stop, and says from which
    line on nothing was sent."""
    ids: list[str] = []
    at = lines[0].number
    groups = [lines] if speed is None else paced(lines, lambda line: line.ts, speed, clock)
    try:
        for array in (array for group in groups for array in _arrays(group)):
            at = array[0].number
            ids += _sent(api, array, len(ids))
            at = array[-1].number + 1
    except KeyboardInterrupt:
        print(f"tidemill: stopped; go on with --from-line {at}", file=sys.stderr)
        raise
    return ids


def _sent(api: Api, array: list[Line], before: int) -> list[str]:
    try:
        return _again(api, b"[" + b",".join(line.event for line in array) + b"]")
    except Stop as stop:
        raise _told(stop, array, before) from None


def _from(line: int) -> str:
    return f" from line {line} on" if line > 1 else ""


def _raw(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    return read_bytes(name)


def _line(number: int, raw: bytes, event_name: str | None, user: str | None) -> Line:
    try:
        value = parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    if not isinstance(value, dict):
        raise ValueError(f"an event is a JSON object, not {kind(value)}")
    said = cast("dict[str, Any]", value)
    event = said if event_name in (None, said.get("name")) else {"name": event_name, "data": said}
    _check(event)
    if user is not None:
        event.setdefault("user", {"id": user})
    event.setdefault("id", ulid(time_ns() // 1_000_000, os.urandom(10)))
    encoded = json.dumps(event, separators=(",", ":")).encode()
    if len(encoded) > EVENT_BYTES:
        raise ValueError(f"the event has {len(encoded):,} bytes, more than {EVENT_BYTES // KIB} KiB")
    ts = event.get("ts")
    return Line(number, encoded, ts if isinstance(ts, int) else None)


def _check(event: dict[str, Any]) -> None:
    """A quick check of the event; the server checks the rest."""
    name = event.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= EVENT_NAME_CHARS:
        raise ValueError(f'name is missing, or is no text of 1 to {EVENT_NAME_CHARS} characters; write {{"name": ...}}')
    if not isinstance(event.get("data", {}), dict):
        raise ValueError(f"data must be an object, not {kind(event['data'])}")
    unknown = sorted(set(event) - {"name", "data", "id", "user", "ts", "v"})
    if unknown:
        raise ValueError(f"an event has no {unknown[0]!r}; put it into data")


def _arrays(lines: list[Line]) -> Iterator[list[Line]]:
    array: list[Line] = []
    size = 2
    for line in lines:
        if array and (len(array) == _ARRAY_EVENTS or size + len(line.event) + 1 > REQUEST_BYTES):
            yield array
            array, size = [], 2
        array.append(line)
        size += len(line.event) + 1
    yield array


def _again(api: Api, body: bytes) -> list[str]:
    """Send the same events again if the server is away or fails: their ids make that safe."""
    for pause in _PAUSES:
        try:
            return api.send(body)
        except Refusal as refusal:
            if refusal.status < 500 or refusal.status == 501:
                raise
        except Unreachable:
            pass
        sleep(pause)
    return api.send(body)


def _told(stop: Stop, array: list[Line], sent: int) -> Stop:
    start = array[0].number
    before = f"{sent:,} events of the lines before {start} were sent" if sent else "nothing was sent"
    if sent:
        before += f"; go on with --from-line {start}"
    if isinstance(stop, Unreachable) and stop.lost:
        first, last = array[0].number, array[-1].number
        lines = f"line {first} was" if first == last else f"lines {first} to {last} were"
        known = f"; {before}" if sent else ""
        return Stop(stop.code, f"{stop.plain}: whether {lines} taken in is unknown, and no later line was sent{known}")
    problems: list[dict[str, Any]] = stop.body.get("errors") or [] if isinstance(stop, Refusal) else []
    if not problems:
        return Stop(stop.code, f"{stop.sentence}; {before}")
    named = [f"line {_number(array, problem)}: {_place(problem)}{problem['msg']}" for problem in problems[:_MOST_NAMED]]
    return Stop(FAILED, "the server refused events; " + before + "\n  " + "\n  ".join(named))


def _number(array: list[Line], problem: dict[str, Any]) -> int:
    index: int = problem["index"]
    return array[index].number


def _place(problem: dict[str, Any]) -> str:
    return ".".join(map(str, problem["loc"])) + ": " if problem["loc"] else ""
