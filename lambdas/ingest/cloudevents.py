"""CloudEvents 1.0 over HTTP: structured, batched and binary, turned into Tidemill events.

`type` is the name and `data` the data. `time` is the `ts`. The version is the extension `v`, else the last segment of
`dataschema`. The id is derived from `source` and `id`, which only together are unique. Every attribute that has no
place of its own is kept in `data_context`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from tidemill import duration, ids
from tidemill.limits import JSON_DEPTH, REQUEST_EVENTS
from tidemill_lambdas.http import Refused, Request
from tidemill_lambdas.ingest import refuse

_STRUCTURED, _BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_ANY = "application/cloudevents"
_PREFIX = "ce-"
_REQUIRED = ("id", "source", "specversion", "type")
_TEXTS = (*_REQUIRED, "datacontenttype", "dataschema", "subject", "time", "v")
_ELSEWHERE = ("type", "time", "v", "data", "data_base64")  # attributes that have a field in a Tidemill event
_NAME = re.compile(r"[a-z0-9]+", re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_OURS = {"name": "type", "ts": "time", "v": "v"}  # the attribute that each of our fields is made of

_Json = dict[str, Any]


def is_cloud(request: Request) -> bool:
    """Whether the request carries CloudEvents: its content type says so, or its headers do."""
    return request.media_type.startswith(_ANY) or any(name.startswith(_PREFIX) for name in request.headers)


def events(request: Request, body: bytes, now: int) -> list[_Json]:
    """The events of a request, as our own form has them, with `data_context`. Raises Refused if any is not right."""
    kind = request.media_type
    if kind == _BATCH:
        return _converted(_batch(body), now, array=True)
    if kind == _STRUCTURED:
        return _converted([refuse.value_of(body, JSON_DEPTH)], now, array=False)
    if kind.startswith(_ANY):
        raise refuse.none(f"CloudEvents are taken as {_STRUCTURED}, {_BATCH} or with ce- headers, not as {kind[:100]}")
    return _converted([_binary(request.headers, body)], now, array=False)


def _batch(body: bytes) -> list[object]:
    value = refuse.value_of(body, JSON_DEPTH + 1)
    if not isinstance(value, list):
        raise refuse.none(f"a batch of CloudEvents is a JSON array, not {refuse.kind(value)}")
    events = cast("list[object]", value)
    if len(events) > REQUEST_EVENTS:
        refuse.checked(events, 0)  # it says how many are too many
    return events


def _binary(headers: Mapping[str, str], body: bytes) -> _Json:
    event: _Json = {
        name[len(_PREFIX) :]: _header(name, value) for name, value in headers.items() if name.startswith(_PREFIX)
    }
    for name in ("data", "data_base64", "datacontenttype"):
        if name in event:
            raise refuse.none(f"ce-{name} is no header of a CloudEvent; the body is its data, Content-Type says what")
    if "content-type" in headers:
        event["datacontenttype"] = headers["content-type"]
    if body.strip():
        event["data"] = refuse.value_of(body, JSON_DEPTH)
    return event


def _header(name: str, value: str) -> str:
    """A value as it was before it became a header: some senders quote it, and all escape what is not ASCII."""
    quoted = _QUOTED.fullmatch(value.strip())
    plain = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else value.strip()
    try:
        return unquote(plain, errors="strict")
    except UnicodeDecodeError:
        raise refuse.none(f"the header {name[:100]} is not UTF-8, percent-encoded; encode its value") from None


def _converted(sent: list[object], now: int, *, array: bool) -> list[_Json]:
    found = [(index, *problem) for index, one in enumerate(sent) for problem in _problems(one)]
    refuse.refuse(found, array, 400)
    made = [_event(cast("_Json", one)) for one in sent]
    try:
        refuse.checked(made if array else made[0], now, context=True)
    except Refused as refused:
        raise _renamed(refused) from None
    return made


def _renamed(refused: Refused) -> Refused:
    """The same refusal, with the attributes of a CloudEvent in place of our fields."""
    errors = [
        {**error, "loc": [_OURS.get(str(part), part) for part in error["loc"][:1]] + list(error["loc"][1:])}
        for error in refused.errors or ()
    ]
    return Refused(refused.status, refused.sentence, errors=errors)


def _problems(event: object) -> list[tuple[tuple[str | int, ...], str]]:
    if not isinstance(event, dict):
        return [((), f"a CloudEvent is a JSON object, not {refuse.kind(event)}")]
    fields = cast("_Json", event)
    missing = [name for name in _REQUIRED if fields.get(name) is None]
    found: list[tuple[tuple[str | int, ...], str]] = [
        ((name,), f"{name} is missing; a CloudEvent has {', '.join(_REQUIRED)}") for name in missing
    ]
    for name, value in fields.items():
        if name not in ("data", "data_base64") and value is not None and (problem := _attribute(name, value)):
            found.append(((name,), problem))
    return found or _data_problem(fields)


def _attribute(name: str, value: object) -> str | None:
    if not _NAME.fullmatch(name):
        return f"{name[:100]!r} is no attribute's name; it has lower-case letters and digits only"
    if not isinstance(value, str):
        if name in _TEXTS:
            return f"{name} must be text, not {refuse.kind(value)}"
        plain = isinstance(value, (bool, int)) and -(2**31) <= value < 2**31
        return None if plain else f"{name} must be text, true, false or a whole number of 32 bits; put it into data"
    if name in _REQUIRED and not value:
        return f"{name} is empty; a CloudEvent has {', '.join(_REQUIRED)}"
    if name == "specversion" and value != "1.0":
        return f"specversion is {value[:20]!r}; send CloudEvents 1.0"
    if name == "time" and _time(value) is None:
        return f"time must be RFC 3339, such as 2026-11-01T09:00:00Z, not {value[:100]!r}"
    return None


def _data_problem(event: _Json) -> list[tuple[tuple[str | int, ...], str]]:
    if "data" in event and "data_base64" in event:
        return [(("data_base64",), "a CloudEvent has data or data_base64, not both")]
    try:
        data = _data(event)
    except ValueError as error:
        return [(("data_base64",), str(error))]
    return [] if isinstance(data, dict) else [(("data",), f"data must be a JSON object, not {refuse.kind(data)}")]


def _data(event: _Json) -> object:
    """Raises ValueError where what is base64 holds no JSON."""
    if "data_base64" not in event:
        return event.get("data", {})
    try:
        return refuse.value_of(base64.b64decode(event["data_base64"], validate=True), JSON_DEPTH)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError("data_base64 is not base64; send JSON in base64, or data as it is") from None
    except Refused as refused:
        raise ValueError(f"what data_base64 holds is no JSON object: {refused.sentence}") from None


def _event(event: _Json) -> _Json:
    made: _Json = {
        "name": event["type"],
        "data": _data(event),
        "id": ids.derived("cloudevent", event["source"], event["id"]),
        "data_context": {name: event[name] for name in event if name not in _ELSEWHERE and event[name] is not None},
    }
    if event.get("time") is not None:
        made["ts"] = _time(event["time"])
    if version := event.get("v") or _version(event.get("dataschema") or ""):
        made["v"] = version
    return made


def _version(dataschema: str) -> str:
    """`https://schemas.example.com/user/signed.up/2026-11-01.json` is of the version 2026-11-01."""
    try:
        return unquote(urlsplit(dataschema).path.rpartition("/")[2]).removesuffix(".json")
    except ValueError:
        return ""


def _time(text: str) -> int | None:
    """Milliseconds since the epoch; None: it is no time of RFC 3339."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return duration.parse_time(text.upper())
    except (ValueError, OverflowError):
        return None
