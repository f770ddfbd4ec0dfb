"""A small AWS client: signs calls itself, keeps connections open, and retries when AWS throttles.

A step's append is one such call, and in a small Lambda the client's CPU is most of a step's time: boto3 takes 2 ms,
this client a tenth of that (docs/decisions/0005). It knows only the services in `services.py`.

A call without an answer may have been carried out. The client repeats it anyway, because every write of the engine may
be made twice. A call that still fails is `Unavailable`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import msgspec

from tidemill.aws.calls import credentials as keys
from tidemill.aws.calls.services import SERVICES, AwsError, Place, error_of, place, quoted
from tidemill.aws.calls.sign import Credentials, Signer, presigned, query_string, sign
from tidemill.aws.calls.transport import HttpTransport, Reply, Request, Transport
from tidemill.errors import Unavailable

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["AwsError", "Client", "Credentials", "Reply", "Request", "Transport"]

TRIES = 8
TIMEOUT = 10.0  # seconds to wait for an answer
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds, before full jitter

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def lot() -> float:
    """A random number in [0, 1), without importing `random`."""
    return int.from_bytes(os.urandom(7), "big") / (1 << 56)


class Sent(TypedDict, total=False):
    """What a request to a REST service has besides its path."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    timeout: float


class _Call(NamedTuple):
    """One call that is to be made; `operation`: see `Request`."""

    service: str
    operation: str
    method: str
    path: str  # path and query quoted
    query: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float


class Client:
    """AWS's services for one account and region. Safe to use from several threads.

    Everything left out comes from the environment; credentials and region on first use. `transport`,
    `sleep`, `draw` and `clock` (seconds since the epoch) are for tests.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        credentials: Callable[[], Credentials] | None = None,
        environment: Mapping[str, str] = os.environ,
        transport: Transport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[], float] = lot,
        clock: Callable[[], float] = time.time,
        tries: int = TRIES,
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._environment = environment
        self._transport = transport if transport is not None else HttpTransport()
        self._sleep = sleep
        self._draw = draw
        self._clock = clock
        self._tries = tries
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        if self._region is None:
            self._region = keys.region(self._environment)
        return self._region

    def call(
        self, service: str, operation: str, body: Mapping[str, Any], *, timeout: float = TIMEOUT
    ) -> dict[str, Any]:
        """One operation of a JSON service: "dynamodb", "sqs", "events", "secretsmanager", "ecs", "logs".

        Raises AwsError if AWS refuses it, Unavailable if AWS does not answer or throttles for too long.
        """
        kind = SERVICES[service]
        headers = {"content-type": f"application/x-amz-json-{kind.version}", "x-amz-target": kind.target + operation}
        reply = self._tried(_Call(service, operation, "POST", "/", "", headers, _encode(body), timeout))
        return _decode(reply.body) if reply.body else {}

    def send(self, service: str, method: str, path: str, **sent: Unpack[Sent]) -> Reply:
        """One request to a REST service: "s3" (paths `/bucket/key`), "scheduler", "lambda".

        `path` and `query` unquoted, the names of headers in lower case. Raises as `call` does: an answer of status 400
        or above is an AwsError.
        """
        headers, body, timeout = sent.get("headers", {}), sent.get("body", b""), sent.get("timeout", TIMEOUT)
        query = query_string(sent.get("query", {}))
        return self._tried(_Call(service, method, method, quoted(path), query, headers, body, timeout))

    def presigned(self, method: str, path: str, seconds: int, also: Mapping[str, str] = {}) -> str:
        """A URL of S3 (`/bucket/key`, unquoted) that lets anybody make this request for a time; `also`: parameters."""
        where, quoted_path = self._place("s3"), quoted(path)
        host, quoted_path = where.at(quoted_path)
        query = presigned(self._signer("s3"), method, host, quoted_path, seconds, also)
        return f"{'https' if where.secure else 'http'}://{host}{quoted_path}?{query}"

    def once(self) -> Client:
        """The same client without retries, for requests that must not be made twice."""
        return Client(
            region=self._region,
            credentials=self._credentials,
            environment=self._environment,
            transport=self._transport,
            sleep=self._sleep,
            draw=self._draw,
            clock=self._clock,
            tries=1,
        )

    def pause(self, failures: int) -> None:
        """Wait before the next retry after this many failures: longer each time, with full jitter."""
        self._sleep(self._draw() * min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE))

    def _tried(self, call: _Call) -> Reply:
        problem: Exception | None = None
        for failures in range(1, self._tries + 1):
            request = self._request(call)
            try:
                reply = self._transport(request)
            except OSError as error:
                problem = error
            else:
                if reply.status < 300:
                    return reply
                refused = error_of(call.service, call.operation, reply.status, reply.headers, reply.body)
                if not refused.passing:
                    raise refused
                problem = refused
            if failures < self._tries:
                self.pause(failures)
        what = f"{call.service} {call.operation}"
        raise Unavailable(f"{what} failed {self._tries} times, at last with: {problem}") from problem

    def _request(self, call: _Call) -> Request:
        service, method, body = call.service, call.method, call.body
        where = self._place(service)
        host, path = where.at(call.path)
        headers = sign(self._signer(service), method, path, call.query, {"host": host, **call.headers}, body)
        target = f"{path}?{call.query}" if call.query else path
        return Request(service, call.operation, method, where.secure, host, target, headers, body, call.timeout)

    def _signer(self, service: str) -> Signer:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        return Signer(self._keys(), self.region, service, stamp)

    def _place(self, service: str) -> Place:
        where = self._places.get(service)
        if where is None:
            where = self._places[service] = place(service, self.region, self._environment)
        return where

    def _keys(self) -> Credentials:
        if self._credentials is None:
            with self._lock:
                if self._credentials is None:
                    self._credentials = keys.credentials(self._environment)
        return self._credentials()
