"""Runs a plain Lambda handler, `def handler(event, context)`, as a function of one step, without the SDK.

The handler's event is that of every function without the SDK, `{"event": {...}, "steps": {}, "ctx": {...}}`; its
context is the Lambda's own. Its result is the run's output, and has to be a JSON value. The handler fails if it raises,
or returns a `status` or `statusCode` of 400 or more; a permanent 4xx is not retried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, cast

from tidemill.errors import NonRetriableError, RetryAfterError
from tidemill.model import FunctionSpec
from tidemill.sdk.context import Context
from tidemill.sdk.function import SyncFunction

STEP = "handler"
_PASSING = frozenset({408, 409, 425, 429})  # 4xx statuses that may change a little later

Handler = Callable[[dict[str, Any], Any], Any]


class FailedAnswer(Exception):
    """The handler returned a failing status."""


def plain_function(spec: FunctionSpec, handler: Handler, context: Callable[[], Any]) -> SyncFunction[Any, Any]:
    """`context`: returns the Lambda context of the current invocation."""

    def run(ctx: Context[Any]) -> Any:
        def step() -> Any:
            return _checked(handler(_input(ctx), context()))

        return ctx.step.run(STEP, step)

    return SyncFunction(run, spec)


def _input(ctx: Context[Any]) -> dict[str, Any]:
    event = ctx.event
    return {
        "event": {
            "id": event.id,
            "name": event.name,
            "data": event.data,
            "user": event.user,
            "ts": event.ts,
            "v": event.v,
        },
        "steps": {},
        "ctx": {"function_id": ctx.function_id, "run_id": ctx.run_id, "step_id": STEP, "attempt": ctx.attempt},
    }


def _checked(answer: Any) -> Any:
    if not isinstance(answer, Mapping):
        return answer
    found = cast("Mapping[str, Any]", answer)
    status = found.get("statusCode", found.get("status"))
    if not isinstance(status, int) or status < HTTPStatus.BAD_REQUEST:
        return found
    sentence = f"the handler returned status {status}: {str(found.get('body', ''))[:500]}"
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        raise NonRetriableError(sentence)
    after = _retry_after(found.get("headers"))
    if after is not None:
        raise RetryAfterError(after, sentence)
    raise FailedAnswer(sentence)


def _retry_after(headers: Any) -> float | None:
    """Seconds, where a `Retry-After` header names some."""
    if not isinstance(headers, Mapping):
        return None
    for name, value in cast("Mapping[str, Any]", headers).items():
        if name.lower() == "retry-after" and str(value).isdecimal():
            return float(str(value))
    return None
