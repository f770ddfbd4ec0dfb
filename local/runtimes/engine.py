"""The Docker engine's HTTP API, over its socket: as much of it as it takes to build an image and run a container.

Held against the interface as Docker documents it (version 1.44 and below), by a server of that kind in the tests, and
against Podman's engine of the same interface where there is one; a request names the version, the engine's own if that
is older. Which engine: DOCKER_HOST (`unix://…`, `tcp://…`), else the socket of Docker or Podman in its usual places.
Contexts of the `docker` command, TLS and ssh are not known here.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from tidemill.limits import KIB, MIB

VERSION = (1, 44)
PATIENCE = 60.0  # seconds for an answer that takes no work of ours
_PING = 1.0
_CHUNK = 64 * KIB
_SAID = 16 * MIB  # of an answer that is read whole


class EngineError(Exception):
    """The engine refused something, or is gone. `status`: of its answer, 0 where there was none."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def address(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where an engine may be."""
    named = environment.get("DOCKER_HOST", "")
    if named:
        return named
    home, own = environment.get("HOME", ""), environment.get("XDG_RUNTIME_DIR", "")
    docker = ["/var/run/docker.sock", *([f"{own}/docker.sock"] if own else []), f"{home}/.docker/run/docker.sock"]
    podman = ["/run/podman/podman.sock", *([f"{own}/podman/podman.sock"] if own else [])]
    places = [*docker, *podman]
    return next((f"unix://{place}" for place in places if Path(place).exists()), None)


class Engine:
    def __init__(self, where: str) -> None:
        self._where = urlsplit(where)
        self._version = VERSION

    def answers(self) -> bool:
        """Whether an engine is there; then its version is known, too. A client alone is none."""
        if self._where.scheme not in ("unix", "tcp"):
            return False
        connection = self._connection(_PING)
        try:
            connection.request("GET", "/_ping", headers={"Host": "docker"})
            response = connection.getresponse()
            response.read(KIB)
            if response.status != 200:
                return False
            major, _, minor = response.headers.get("Api-Version", "").partition(".")
            self._version = min(VERSION, (int(major), int(minor))) if minor else VERSION
            return True
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def call(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: object = None, seconds: float = PATIENCE
    ) -> Any:
        """One call with a short answer, which is JSON, or empty. Raises EngineError, TimeoutError."""
        data = b"" if body is None else msgspec.json.encode(body)
        with _Answer(
            self, method, self.target(path, query), data, "application/json", time.monotonic() + seconds
        ) as answer:
            said = answer.read(_SAID)
        return msgspec.json.decode(said) if said.strip() else None

    def build(self, tar: bytes, tag: str, deadline: float) -> None:
        """Build an image of a folder. Raises EngineError with what the build said last, TimeoutError."""
        query = {"t": tag, "rm": "1", "forcerm": "1", "version": "1"}
        with _Answer(self, "POST", self.target("/build", query), tar, "application/x-tar", deadline) as answer:
            _progress(answer)

    def pull(self, image: str, deadline: float) -> None:
        """Fetch an image by name. Raises as `build` does."""
        with _Answer(
            self, "POST", self.target("/images/create", _named(image)), b"", "application/json", deadline
        ) as answer:
            _progress(answer)

    def logs(self, container: str, deadline: float) -> Generator[tuple[int, bytes]]:
        """What a container says, as it says it, until it ends: 1 for standard output, 2 for standard error."""
        query = {"follow": "1", "stdout": "1", "stderr": "1"}
        path = f"/containers/{container}/logs"
        with _Answer(self, "GET", self.target(path, query), b"", "application/json", deadline) as answer:
            while head := answer.exactly(8):
                left = int.from_bytes(head[4:], "big")
                while left:
                    data = answer.read(min(left, _CHUNK))
                    if not data:
                        return
                    left -= len(data)
                    yield head[0], data

    def target(self, path: str, query: Mapping[str, str]) -> str:
        major, minor = self._version
        text = f"/v{major}.{minor}{quote(path, safe='/:@')}"
        return f"{text}?{urlencode(query)}" if query else text

    def _connection(self, seconds: float) -> http.client.HTTPConnection:
        if self._where.scheme == "unix":
            return _UnixConnection(self._where.path, seconds)
        return http.client.HTTPConnection(self._where.hostname or "", self._where.port or 2375, timeout=seconds)

    def ask(
        self, method: str, target: str, body: bytes, kind: str, deadline: float
    ) -> tuple[http.client.HTTPConnection, socket.socket, http.client.HTTPResponse]:
        """What is to be closed, what a timeout can be set on, and the answer that has begun."""
        connection = self._connection(_left(deadline))
        try:
            connection.request(method, target, body or None, {"Host": "docker", "Content-Type": kind})
            return connection, connection.sock, connection.getresponse()
        except BaseException:
            connection.close()
            raise


class _Answer:
    """An answer that is read as it comes, until the deadline; errors of any kind become EngineError."""

    def __init__(
        self,
        engine: Engine,
        method: str,
        target: str,
        body: bytes,
        kind: str,
        deadline: float,
    ) -> None:
        self._deadline = deadline
        try:
            self._connection, self._sock, self._response = engine.ask(method, target, body, kind, deadline)
            if self._response.status >= 300:
                said = self.read(_SAID)
                self._connection.close()
                raise EngineError(self._response.status, _message(said))
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(0, f"the engine did not answer: {_reason(error)}") from error

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()

    def read(self, size: int) -> bytes:
        """What has come, at most so much; nothing at its end."""
        try:
            self._sock.settimeout(_left(self._deadline))
            return self._response.read1(size) if size < _SAID else self._response.read(size)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(0, f"the engine's answer broke off: {_reason(error)}") from error

    def exactly(self, size: int) -> bytes:
        """So much, or nothing."""
        data = b""
        while len(data) < size:
            more = self.read(size - len(data))
            if not more:
                return b""
            data += more
        return data


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _progress(answer: _Answer) -> None:
    """Read what a build or a pull says, a JSON object a line: an error is only there, the status was 200."""
    rest = b""
    while data := answer.read(_CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _told(line)
    _told(rest)


def _told(line: bytes) -> None:
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return
    if "error" in said:
        detail = said.get("errorDetail")
        message = detail.get("message") if isinstance(detail, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        raise EngineError(500, str(message or said["error"]))  # pyright: ignore[reportUnknownArgumentType]


def _named(image: str) -> dict[str, str]:
    """By digest, or by tag: without either the engine would fetch every tag there is."""
    if "@" in image:
        return {"fromImage": image}
    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        return {"fromImage": image, "tag": "latest"}
    return {"fromImage": name, "tag": tag}


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _message(said: bytes) -> str:
    try:
        return str(msgspec.json.decode(said, type=dict[str, Any])["message"])
    except (msgspec.MsgspecError, KeyError):
        return said.decode("utf-8", "replace").strip() or "no reason was given"


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return left
