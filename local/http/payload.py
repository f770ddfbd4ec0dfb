"""Converts HTTP requests and answers to and from API Gateway's payload format 2.0, which the handlers use."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tidemill_lambdas.paths import handed_over

_PHRASES = {
    200: "OK", 202: "Accepted", 204: "No Content", 303: "See Other", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def encode(self, *, head: bool, close: bool) -> bytes:
        """The answer as HTTP/1.1. `head`: the request was HEAD, so no body; `close`: the connection ends here."""
        lines = [f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.status != 204:
            lines.append(f"content-length: {len(self.body)}")
        if close:
            lines.append("connection: close")
        start = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        return start if head or self.status == 204 else start + self.body


def problem(status: int, sentence: str) -> Answer:
    """An error in the format of every call."""
    body = msgspec.json.encode({"error": sentence, "status": status})
    return Answer(status, body, {"content-type": "application/json"})


def answer_of(response: dict[str, Any]) -> Answer:
    """The answer that a handler returned."""
    body = response.get("body") or ""
    data = base64.b64decode(body) if response.get("isBase64Encoded") else body.encode()
    return Answer(int(response.get("statusCode", 200)), data, response.get("headers") or {})


def request_payload(
    method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, peer: str
) -> dict[str, Any]:
    """A request in the form that API Gateway passes to a Lambda. `headers` have lower-case names."""
    raw, _, query = _path(target).partition("?")
    path = handed_over(raw)
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    http = {
        "method": method.decode("latin-1"),
        "path": path,
        "protocol": "HTTP/1.1",
        "sourceIp": peer,
        "userAgent": named.get("user-agent", ""),
    }
    request: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": named,
        "requestContext": {"http": http, "stage": "$default", "domainName": named.get("host", "")},
        "isBase64Encoded": False,
    }
    if query:
        request["queryStringParameters"] = _parameters(query)
    if body:
        try:
            request["body"] = body.decode()
        except UnicodeDecodeError:
            request["body"] = base64.b64encode(body).decode()
            request["isBase64Encoded"] = True
    return request


def _path(target: bytes) -> str:
    text = target.decode("latin-1").partition("#")[0]
    if text.startswith("/"):
        return text
    _, scheme, rest = text.partition("://")  # the absolute form of a URL, which proxies send
    _, slash, path = rest.partition("/")
    return slash + path if scheme and slash else "/"


def _parameters(query: str) -> dict[str, str]:
    """The decoded parameters; a name given twice has its values joined with a comma."""
    from urllib.parse import parse_qsl

    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters
