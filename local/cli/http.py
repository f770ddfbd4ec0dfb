"""Calls a Tidemill server, with the standard library's HTTP over one kept-alive connection."""

from __future__ import annotations

import json
import re
import socket
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote, urlencode, urlsplit

from tidemill_local.cli.stop import FAILED, UNREACHABLE, USAGE, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT = 30.0  # seconds
MOST = 1_000  # of a list in one answer
_PLAIN = re.compile(r"[A-Za-z0-9_.~:@+-]+")  # characters that every server and proxy passes on unchanged
_COMMANDS = {
    "GET /v1/functions": "functions list",
    "GET /v1/runs": "runs list",
    "GET /v1/events": "events list",
    "DELETE /v1/runs/{id}": "runs cancel",
    "POST /v1/runs/{id}/rerun": "runs rerun",
}
_ELSEWHERE = 303  # the answer is too large for a Lambda, and lies at another address
_STALE = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class Refusal(Stop):
    """The server answered with an error: its HTTP `status` and its `body`."""

    def __init__(self, status: int, sentence: str, body: Mapping[str, Any]) -> None:
        super().__init__(USAGE if status == 501 else FAILED, sentence)
        self.status = status
        self.body = body


class Unreachable(Stop):
    """No server answers, or one that is not Tidemill. `lost`: the request may have been carried out all the same."""

    def __init__(self, sentence: str, lost: bool = False) -> None:
        super().__init__(UNREACHABLE, sentence + ("; it may have been taken in all the same" if lost else ""))
        self.plain = sentence
        self.lost = lost


class Api:
    def __init__(self, url: str, key: str = "", event_key: str = "dev", timeout: float = TIMEOUT) -> None:
        self.url = url.rstrip("/")
        self._event_key = event_key
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {_plain(key)}"
        self._connection, self._prefix = _connection(self.url, timeout)
        self._used = False  # whether the open connection has carried a call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, where results are visible with the answer."""
        return self._connection.host in ("127.0.0.1", "localhost", "::1")

    def get(self, path: str, **query: Any) -> Any:
        """The `data` of the answer. Raises Refusal or Unreachable."""
        return self.answer(path, **query)["data"]

    def answer(self, path: str, **query: Any) -> dict[str, Any]:
        """The whole answer: of a list, with its cursor and what is damaged."""
        return self._call("GET", path + _query(query))

    def pages(self, path: str, limit: int, **query: Any) -> Iterator[Any]:
        """The rows of a list, at most `limit`, page after page."""
        cursor = None
        while limit > 0:
            rows, cursor = self.page(path, **query, limit=min(limit, MOST), cursor=cursor)
            yield from rows
            limit -= len(rows)
            if cursor is None:
                return

    def page(self, path: str, **query: Any) -> tuple[Any, str | None]:
        """The `data` of one page, of a list or of what is too large for one answer, and where the next one begins."""
        answer = self.answer(path, **query)
        return answer["data"], answer.get("cursor")

    def post(self, path: str, body: object) -> Any:
        return self._call("POST", path, _encode(body))["data"]

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)["data"]

    def send(self, body: bytes) -> list[str]:
        """Send one event or an array of them, as JSON. Returns their ids."""
        ids: list[str] = self._call("POST", f"/e/{quote(self._event_key, safe='')}", body)["ids"]
        return ids

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        try:
            status, answer = self._exchange(method, path, body)
        except ConnectionRefusedError:
            raise Unreachable(
                f"nothing listens at {self.url}: start `tidemill dev`, or point --url (TIDEMILL_URL) elsewhere"
            ) from None
        except socket.gaierror:
            raise Unreachable(f"there is no host {self._connection.host!r}: check --url (TIDEMILL_URL)") from None
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{self.url} gave no answer ({_named(error)})", lost=method == "POST") from None
        return self._understood(status, answer)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """One call; repeated once if the kept-alive connection was closed meanwhile."""
        again = self._used and method == "GET"
        try:
            self._connection.request(method, self._prefix + path, body, self._headers)
            response = self._connection.getresponse()
            self._used = True
            content = response.read()
            elsewhere = response.headers.get("location", "") if response.status == _ELSEWHERE else ""
            return (200, _fetched(elsewhere)) if elsewhere else (response.status, content)
        except BaseException as error:
            self._connection.close()
            self._used = False
            if again and isinstance(error, _STALE):
                return self._exchange(method, path, body)
            raise

    def _understood(self, status: int, answer: bytes) -> dict[str, Any]:
        body = _object(answer)
        if status < 300 and ("data" in body or "ids" in body):
            return body
        if not isinstance(body.get("error"), str):
            raise Unreachable(f"what answers at {self.url} is no Tidemill ({status}): check --url (TIDEMILL_URL)")
        raise Refusal(status, _in_commands(status, body["error"]), body)


def _in_commands(status: int, sentence: str) -> str:
    """The server's sentence, with the commands that make the calls it names."""
    if status == 401:
        sentence = sentence.partition("; ")[0]
        return f"{sentence}; give it as --key or --event-key, or as TIDEMILL_API_KEY or TIDEMILL_EVENT_KEY"
    for call, command in _COMMANDS.items():
        sentence = sentence.replace(call, f"`tidemill {command}`")
    return sentence


def _fetched(address: str) -> bytes:
    """What lies at a signed address, which takes no key."""
    parts = urlsplit(address)
    connection, prefix = _connection(f"{parts.scheme}://{parts.netloc}", TIMEOUT)
    try:
        connection.request("GET", f"{prefix}{parts.path}?{parts.query}")
        return connection.getresponse().read()
    finally:
        connection.close()


def event_path(event_id: str, what: str = "") -> str:
    """The path of an event, or below it ("/runs"). An id that a path cannot hold goes into the query."""
    if event_id.strip(".") and _PLAIN.fullmatch(event_id):
        return f"/v1/events/{event_id}{what}"
    return f"/v1/events/-{what}{_query({'id': event_id})}"


def part(text: str) -> str:
    """An id as a part of a path."""
    return quote(text, safe="")


def _connection(url: str, timeout: float) -> tuple[HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if not host or parts.scheme not in ("http", "https"):
        raise Stop(USAGE, f"{url!r} is no address of a server; write --url like http://127.0.0.1:8288")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(host, port, timeout=timeout), parts.path.rstrip("/")


def _object(answer: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else."""
    try:
        value = json.loads(answer)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _plain(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise Stop(USAGE, "the key has characters that no key has; check --key (TIDEMILL_API_KEY)")
    return key


def _query(query: Mapping[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _encode(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode()


def _named(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"for {TIMEOUT:.0f} seconds"
    return str(error) or type(error).__name__
