"""API Gateway's HTTP API before a Lambda, as AWS has it (payload format 2.0), for callers of the handlers.

- The path arrives decoded, but for `%25`; what follows a decoded `?` is cut off. Bytes that are no UTF-8 become U+FFFD.
- A body is text where its content type says so, else base64.
- The event and the answer have at most 6 MB as JSON: more is a 413, or a 502, that no handler has any part in.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

LAMBDA_BYTES = 6 * 1024 * 1024
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_TEXT = ("application/json", "application/xml", "application/javascript")

Handler = Callable[[dict[str, Any]], Mapping[str, Any]]


def handed_over(path: str) -> str:
    def decoded(run: re.Match[str]) -> str:
        parts = re.split("%25", run[0])
        return "%25".join(unquote_to_bytes(part).decode("utf-8", "replace") for part in parts)

    return _ESCAPES.sub(decoded, path).partition("?")[0]


def event(method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> dict[str, Any]:
    """What a Lambda is invoked with. `headers` have lower-case names."""
    raw, _, query = target.partition("?")
    path = handed_over(raw)
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "127.0.0.1:8288", **headers},
        "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
        "isBase64Encoded": False,
    }
    if body:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith("text/") or kind in _TEXT:
            made["body"] = body.decode("utf-8", "replace")
        else:
            made["body"], made["isBase64Encoded"] = base64.b64encode(body).decode(), True
    return made


def answered(handle: Handler, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body that a caller gets."""
    if _size(request) > LAMBDA_BYTES:
        return 413, {}, b'{"message":"Request Entity Too Large"}'
    response = handle(request)
    if _size(response) > LAMBDA_BYTES:
        return 502, {}, b'{"message":"Internal Server Error"}'
    body = response.get("body") or ""
    content = base64.b64decode(body) if response.get("isBase64Encoded") else body.encode()
    return response["statusCode"], dict(response.get("headers") or {}), content


def _size(payload: Mapping[str, Any]) -> int:
    return len(json.dumps(payload, separators=(",", ":")))  # as Lambda's runtime for Python writes an answer
