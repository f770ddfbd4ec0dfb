"""A request as API Gateway's HTTP API hands it over (payload format 2.0), and the answer it takes back.

`rawPath` is taken as it was sent, still percent-encoded: an event's id may contain a slash.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

Payload = Mapping[str, Any]
Response = dict[str, Any]  # {"statusCode", "headers", "body"}

_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}
_encoder = msgspec.json.Encoder()


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
    return {"statusCode": status, "headers": {**_HEADERS, **(headers or {})}, "body": body.decode()}


@dataclass(frozen=True, slots=True)
class Request:
    """What the handlers need of a payload."""

    method: str
    path: str  # as sent, percent-encoded
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
