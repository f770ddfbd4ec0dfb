"""Turns an error into the failure that the journal stores: type, message, stack, and whether and when to retry.

A group of errors, as a TaskGroup raises it, is judged by the errors in it, however deep: one that stops stops all, and
of several times to try again the latest counts. A group of one error is that error.
"""

from __future__ import annotations

from typing import cast

import msgspec

from tidemill import values
from tidemill.engine.drive.live import AttemptTimeout
from tidemill.engine.drive.trace.stacks import stack_of
from tidemill.errors import NonRetriableError, RetryAfterError, StepError, TaskFailed
from tidemill.limits import SLEEP
from tidemill.model import Failure

_TEXT = 8_000  # characters of an error's message, and of its stack, that are kept
_NAMED = 10  # errors of a group that its message names
_LOOKED_AT = 1_000  # errors of a group that are looked at


def failure_of(error: BaseException, now: int, step: str | None = None) -> Failure:
    """An error as a run remembers it."""
    inner = _inner(error)
    if len(inner) == 1:
        return _of_one(inner[0], now, step, _stack(error))
    failures = [_of_one(each, now, step, "") for each in inner]
    named = "; ".join(f"{each.type}: {each.message}" for each in failures[:_NAMED])
    more = f"; and {len(inner) - _NAMED} more" if len(inner) > _NAMED else ""
    origin = next((each.step_id for each in failures if each.step_id not in (None, step)), step)
    retriable = all(each.retriable for each in failures)
    after = max((each.retry_after for each in failures if each.retry_after is not None), default=None)
    message = f"{_group_message(error)}: {named}{more}"[:_TEXT]
    return Failure(type(error).__name__, message, _stack(error), origin, retriable, after if retriable else None)


def _inner(error: BaseException) -> list[BaseException]:
    """The errors that are no groups, in order; of an error that is no group, itself."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < _LOOKED_AT:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(reversed(cast("BaseExceptionGroup[BaseException]", each).exceptions))
        else:
            found.append(each)
    return found


def _of_one(error: BaseException, now: int, step: str | None, stack: str) -> Failure:
    if isinstance(error, TaskFailed):
        known = error.failure
        return msgspec.structs.replace(known, step_id=step, stack=known.stack or f"{known.type}: {known.message}")
    if isinstance(error, AttemptTimeout):
        return Failure("StepTimeoutError", str(error), "", step)
    if isinstance(error, StepError):
        where = _clean(error.stack[-_TEXT:]) or stack  # where the step itself went wrong
        return Failure(error.type, _message(error) or error.type, where, error.step_id or step, retriable=False)
    name = type(error).__name__
    retriable = not isinstance(error, NonRetriableError | values.NotSerializable)
    after = _time_named(error, now) if isinstance(error, RetryAfterError) else None
    return Failure(name, _message(error) or name, stack, step, retriable, after)


def _time_named(error: RetryAfterError, now: int) -> int:
    at = error.milliseconds if error.absolute else now + error.milliseconds
    return min(at, now + SLEEP)


def _group_message(group: BaseException) -> str:
    """What the group says of itself, without Python's count of its errors."""
    return _clean(cast("BaseExceptionGroup[BaseException]", group).message)[:_TEXT]


def _message(error: BaseException) -> str:
    try:
        return _clean(str(error))[:_TEXT]
    except Exception:
        return f"<the message of this {type(error).__name__} cannot be read>"


def _stack(error: BaseException) -> str:
    try:
        return _clean(stack_of(error, _TEXT))
    except Exception:  # what formats a traceback asks the error for its text
        return ""


def _clean(text: str) -> str:
    """Text that every reader can be given: file names from the system may hold what UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()
