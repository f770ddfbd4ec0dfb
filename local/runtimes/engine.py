"""A client of the Docker engine's HTTP API, over its socket, for building images and running containers.

Tests check it against Docker's documented interface (version 1.44 and below) with a server of that kind, and against
Podman's engine with the same interface if there is one; a request names the version, the engine's own if that
is older. Which engine: DOCKER_HOST (`unix://…`, `tcp://…`), else the socket of Docker or Podman in its usual places.
Contexts of the `docker` command, TLS and ssh are not supported.
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
PATIENCE = 60.0  # seconds for the answer to a short call
_PING = 1.0
_CHUNK = 64 * KIB
_SAID = 16 * MIB  # bytes of an answer that is read whole


class EngineError(Exception):
    """The engine refused a request, or is gone. `status`: that of its answer, 0 without one."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def address(environment: Mapping[str, str] = os.environ) -> str | None:
    """The address of an engine, if configured or found."""
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
        """Whether an engine answers; then its version is known, too. A client without an engine does not count."""
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
        """Build an image of a folder. Raises EngineError with the build's last output, or TimeoutError."""
        query = {"t": tag, "rm": "1", "forcerm": "1", "version": "1"}
        with _Answer(self, "POST", self.target("/build", query), tar, "application/x-tar", deadline) as answer:
            _progress(answer)

    def pull(self, image: str, deadline: float) -> None:
        """Fetch an image by name. Raises the same errors as `build`."""
        with _Answer(
            self, "POST", self.target("/images/create", _named(image)), b"", "application/json", deadline
        ) as answer:
            _progress(answer)

    def logs(self, container: str, deadline: float) -> Generator[tuple[int, bytes]]:
        """A container's output as it comes, until it ends: 1 for standard output, 2 for standard error."""
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
        """Send a request. Returns the object to close, the socket, and the started answer."""
        connection = self._connection(_left(deadline))
        try:
            connection.request(method, target, body or None, {"Host": "docker", "Content-Type": kind})
            return connection, connection.sock, connection.getresponse()
        except BaseException:
            connection.close()
            raise


class _Answer:
    """An answer that is read as it comes, until the deadline; all errors become EngineError."""

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
        """The available bytes, up to a limit; empty at the end."""
        try:
            self._sock.settimeout(_left(self._deadline))
            return self._response.read1(size) if size < _SAID else self._response.read(size)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(0, f"the engine's answer broke off: {_reason(error)}") from error

    def exactly(self, size: int) -> bytes:
        """Exactly this many bytes, or none."""
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
    """Read the output of a build or a pull, one JSON object per line. Errors are only there; the status was 200."""
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
    """The image's name with a digest or a tag: without either the engine would fetch every tag."""
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
