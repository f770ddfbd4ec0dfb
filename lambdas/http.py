"""A request as API Gateway's HTTP API hands it over (payload format 2.0), and the answer it takes back.

`rawPath` is decoded once when it comes here, but for `%25` (see `tidemill_lambdas.paths`).
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
_AS_TEXT = (
    MIB  # a larger body is given back as base64, which always takes a third more; escapes may take five times more
)
_TEXTS = ("text/", "application/json", "application/xml", "application/javascript")  # what comes as text, else base64
_ESCAPED = b'"\\\n\r\t'
_ROOM = 64 * KIB  # of an event, for all but the body


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
    """An answer whose JSON is ready. A HEAD gets the body too: whoever speaks HTTP drops it, and knows its length."""
    small = len(body) <= _AS_TEXT
    return {
        "statusCode": status,
        "headers": {**_HEADERS, **(headers or {})},
        "body": body.decode() if small else base64.b64encode(body).decode(),
        "isBase64Encoded": not small,
    }


@dataclass(frozen=True, slots=True)
class Request:
    """What the handlers need of a payload."""

    method: str
    path: str  # as handed over: decoded, but for `%25`
    query: str
    payload: Payload

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name, as API Gateway gives them."""
        return self.payload.get("headers") or {}

    @property
    def body(self) -> bytes:
        """Raises Refused if it is called base64 and is not."""
        body: str = self.payload.get("body") or ""
        if not self.payload.get("isBase64Encoded"):
            return body.encode("utf-8", "surrogatepass")  # half a pair is refused where the JSON is read
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(400, "the body is marked as base64, but is not; send it as it is") from None

    def bounded(self, advice: str) -> bytes:
        """The body. Raises Refused (413) where it is too large for us, or for the event that a Lambda is given."""
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
        """`https://host`, under which the caller reached us; empty where the request does not say."""
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
