"""Answers CloudFormation by a PUT to its presigned URL, which is never logged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tidemill.errors import Unavailable

TRIES = 4
_TIMEOUT = 10.0  # seconds
_REASON_CHARS = 1_024  # the whole answer may have 4 KB


def send(
    event: Mapping[str, Any], physical_id: str, problem: str | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Report success, or the `problem`. Raises Unavailable if the answer is not accepted."""
    body = msgspec.json.encode(
        {
            "Status": "SUCCESS" if problem is None else "FAILED",
            "Reason": (problem or "")[:_REASON_CHARS],
            "PhysicalResourceId": physical_id,
            "StackId": event["StackId"],
            "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"],
        }
    )
    for failures in range(TRIES):
        if failures:
            sleep(2 ** (failures - 1))
        try:
            status = _put(event["ResponseURL"], body)
        except (OSError, HTTPException):
            continue
        if status < 300:
            return
    raise Unavailable(f"CloudFormation did not take the answer for {event['LogicalResourceId']} in {TRIES} attempts")


def _put(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT)
    try:
        # The URL is signed for an empty content type.
        connection.request("PUT", f"{parts.path}?{parts.query}", body, {"content-type": ""})
        return connection.getresponse().status
    finally:
        connection.close()
