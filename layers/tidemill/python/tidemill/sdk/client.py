"""Sends events over HTTP, with nothing but the standard library.

Every event gets its id before it is sent, so that repeating a request whose answer was lost starts nothing twice.
"""

from __future__ import annotations

import os
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import structs

from tidemill.errors import ApiError, EventError
from tidemill.ids import ulid

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_URL = "http://127.0.0.1:8288"
_TIMEOUT = 30.0  # seconds
_PAUSES = (0.2, 0.3, 0.5, 1.0, 1.5, 2.0, 2.0, 2.5)  # seconds, before each further try
_PATIENCE = sum(_PAUSES)  # long enough for a server to restart


class _Error(msgspec.Struct):
    index: int
    loc: tuple[str | int, ...]
    msg: str


class _Answer(msgspec.Struct):
    ids: list[str] = []
    error: str = ""
    errors: list[_Error] | None = None


def post(events: list[dict[str, Any]], pauses: Sequence[float] = _PAUSES) -> list[str]:
    """Sends events to `TIDEMILL_URL` with `TIDEMILL_EVENT_KEY` and returns their ids; retries for ten seconds.

    Raises EventError where the server refused the events themselves, else ApiError with the server's sentence; its
    status is 0 where there was no answer at all.
    """
    url = os.environ.get("TIDEMILL_URL") or DEFAULT_URL
    path = f"/e/{quote(os.environ.get('TIDEMILL_EVENT_KEY') or 'dev', safe='')}"
    now = time.time_ns() // 1_000_000
    body = msgspec.json.encode([{"id": ulid(now, os.urandom(10)), **event} for event in events])
    began = time.monotonic()
    for pause in pauses:
        try:
            status, answer = _request(url, path, body)
            if status < 500:
                return _ids(url, status, answer)
        except OSError:
            pass
        if time.monotonic() - began > _PATIENCE:
            break  # time is up: the attempts were slow
        time.sleep(pause)
    try:
        return _ids(url, *_request(url, path, body))
    except ConnectionRefusedError:
        raise ApiError(0, f"nothing listens at {url}: start `tidemill dev`, or set TIDEMILL_URL") from None
    except OSError as error:
        raise ApiError(0, f"{url} gave no answer: {error}") from None


def _request(url: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection, prefix = _connection(url)
    try:
        connection.request("POST", prefix + path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except HTTPException as error:  # the answer was cut off, or is not HTTP
        raise ConnectionError(str(error) or type(error).__name__) from None
    finally:
        connection.close()


def _connection(url: str) -> tuple[HTTPConnection, str]:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise ApiError(0, f"TIDEMILL_URL is {url!r}; write it like {DEFAULT_URL}")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(host, port, timeout=_TIMEOUT), parts.path.rstrip("/")


def _ids(url: str, status: int, body: bytes) -> list[str]:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except msgspec.DecodeError:
        answer = _Answer()
    if status == 200 and answer.ids:
        return answer.ids
    if answer.errors:
        raise EventError(answer.error, [structs.asdict(each) for each in answer.errors])
    raise ApiError(status, answer.error or f"{url} answered {status}, and not as Tidemill does; check TIDEMILL_URL")
