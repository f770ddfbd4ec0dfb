"""Parses the response of a Lambda: a value, or the failure that it reports."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.errors import TaskFailed
from tidemill.model import Failure

_TEXT = 8_000  # characters kept of a message, and of a stack
_TIMED_OUT = "Task timed out after"  # Lambda's text for a timeout, whatever the type


class _Error(msgspec.Struct):
    type: str = msgspec.field(name="errorType", default="")
    message: str = msgspec.field(name="errorMessage", default="")
    stack: list[Any] = msgspec.field(name="stackTrace", default_factory=list[Any])


def value_of(body: bytes) -> Any:
    """Raises TaskFailed for text that is not JSON, which a Lambda in another language may return."""
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise TaskFailed(Failure("NoJson", f"the Lambda answered with what is no JSON: {error}")) from None
    except RecursionError:
        said = (
            "the Lambda answered with JSON that is nested too deep; let it store the data, and answer with its address"
        )
        raise TaskFailed(Failure("OutputTooDeep", said, retriable=False)) from None


def failure_of(body: bytes) -> Failure:
    """The failure of a function error."""
    try:
        found = msgspec.json.decode(body, type=_Error)
    except msgspec.DecodeError:
        return Failure("LambdaError", body[:_TEXT].decode("utf-8", "replace"))
    kind = "StepTimeoutError" if _TIMED_OUT in found.message else found.type or "LambdaError"
    stack = "".join(str(line) if str(line).endswith("\n") else f"{line}\n" for line in found.stack)
    return Failure(kind, found.message[:_TEXT] or kind, stack[-_TEXT:])
