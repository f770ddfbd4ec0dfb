"""Requests and responses of API Gateway's HTTP API (payload format 2.0).

`rawPath` has been decoded once before it arrives, except `%25` (see `tidemill_lambdas.paths`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tidemill.limits import KIB, LAMBDA_BYTES, MIB, REQUEST_BYTES

Payload = Mapping[str, Any]
Response = dict[str, Any]  # {"statusCode", "headers", "body"}

_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
_encoder = msgspec.json.Encoder()
_AS_TEXT = MIB  # a larger body is sent as base64, a third longer; JSON escapes may be five times longer
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript")  # arrive as text, others as base64
_ESCAPED = b'"\\\n\r\t'
_ROOM = 64 * KIB  # of the Lambda's event, for everything but the body


class Refused(Exception):
    """Ends a call with an error answer: one sentence that says what to do, and its status."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        errors: Sequence[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.errors = errors
        self.headers = headers

    def response(self) -> Response:
        body: dict[str, Any] = {"error": self.sentence, "status": self.status}
        if self.errors is not None:
            body["errors"] = self.errors
        return respond(self.status, body, self.headers)


def respond(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    return raw(status, _encoder.encode(body), headers)


def raw(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with encoded JSON. A HEAD gets the body too: the HTTP server drops it and sends its length."""
    small = len(body) <= _AS_TEXT
    return {
        "statusCode": status,
        "headers": {**_HEADERS, **(headers or {})},
        "body": body.decode() if small else base64.b64encode(body).decode(),
        "isBase64Encoded": not small,
    }


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that the handlers need."""

    method: str
    path: str  # as received: decoded, except `%25`
    query: str
    payload: Payload

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name, as in API Gateway's payload."""
        return self.payload.get("headers") or {}

    @property
    def media_type(self) -> str:
        """What its content-type names, without parameters; empty if the request does not say."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def body(self) -> bytes:
        """Raises Refused if it is marked as base64 and is not."""
        body: str = self.payload.get("body") or ""
        if not self.payload.get("isBase64Encoded"):
            return body.encode("utf-8", "surrogatepass")  # reading the JSON refuses half a pair
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, "the body is marked as base64, but is not; send it as it is") from None

    def bounded(self, advice: str) -> bytes:
        """The body. Raises Refused (413) if it is too large for the API, or for a Lambda's event."""
        body = self.body
        if len(body) > REQUEST_BYTES:
            raise Refused(413, f"the body has {len(body)} bytes, more than 4 MiB; {advice}")
        if self.headers.get("content-type", "").lower().startswith(_TEXTS):
            size = len(body) + sum(map(body.count, (bytes((sign,)) for sign in _ESCAPED)))
            if size > LAMBDA_BYTES - _ROOM:
                raise Refused(
                    413, f"the body has {size} bytes when it is escaped, more than 6 MiB; {advice}", errors=[]
                )
        return body

    @property
    def origin(self) -> str:
        """`https://host` of the request; empty if the request does not say."""
        context: Mapping[str, Any] = self.payload.get("requestContext") or {}
        host = context.get("domainName") or self.headers.get("host")
        return f"{self.headers.get('x-forwarded-proto', 'http')}://{host}" if host else ""


def request_of(payload: Payload) -> Request:
    return Request(
        payload["requestContext"]["http"]["method"],
        payload.get("rawPath") or "/",
        payload.get("rawQueryString") or "",
        payload,
    )
