"""The exceptions of Tidemill, as one tree.

    TidemillError
    ├── DeclarationError       a function, trigger or option makes no sense; names every problem at once
    ├── ApiError               the platform answered a call with an error status
    ├── NonRetriableError      raised by your code: stop at once, no more retries
    │   └── EventError         an event that is refused; names every problem and its place
    ├── RetryAfterError        raised by your code: retry, but not before the time it names
    ├── StepError              a step failed for good; catch it to go on without the step
    │   └── StepTimeoutError   a step failed because its timeout passed
    ├── TaskFailed             an attempt of a definition's step failed; says whether to try again
    ├── NonDeterministicError  the code took another way than the journal remembers
    ├── JournalError           a journal that cannot be true: a gap, or a newer format
    ├── BundleError            a file that is no exported run, or not a whole one
    └── Unavailable            a store or queue did not answer; whether it did what was asked is unknown

`engine.drive.live.Left` is not an error: it ends your code's execution when a run suspends. It derives from
BaseException, so that `except Exception` cannot swallow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill.duration import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from tidemill.model import Failure


class TidemillError(Exception):
    """The base of every error that Tidemill raises. Each survives pickle and copy, whatever its constructor takes."""

    def __reduce__(self) -> tuple[object, ...]:
        return remade, (type(self), self.args), self.__dict__


def remade(kind: type[BaseException], args: tuple[object, ...]) -> BaseException:
    """Rebuild the error without its constructor: `args` holds only the message, and constructors take more."""
    return kind.__new__(kind, *args)


class DeclarationError(TidemillError):
    """A declaration that makes no sense. `problems` has one sentence for each problem."""

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{what}: " + "; ".join(problems))


class ApiError(TidemillError):
    """The platform answered with `status` and one sentence."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class NonRetriableError(TidemillError):
    """Raise it if another attempt cannot help: the step, or the run, fails at once."""


class EventError(NonRetriableError):
    """Events that were refused. `errors` holds `{"index", "loc", "msg"}` for each problem.

    The same event would be refused again, so nothing retries it.
    """

    def __init__(self, message: str, errors: Sequence[dict[str, Any]] = ()) -> None:
        self.errors = tuple(errors)
        super().__init__(message)


class RetryAfterError(TidemillError):
    """Raise it to set the time of the next attempt: a delay (seconds, timedelta, "3" or "5m") or a time (an aware
    datetime, ISO 8601 text, or an HTTP date, as in the header Retry-After). Raises ValueError for anything else.
    """

    def __init__(self, when: float | str | timedelta | datetime, message: str = "") -> None:
        try:
            self.milliseconds, self.absolute = parse_retry_after(when)
        except ValueError as error:
            raise ValueError(f"RetryAfterError: {error}") from None
        self.when = when
        super().__init__(message or f"retry after {when}")


class StepError(TidemillError):
    """A step that failed for good. `type` and `step_id` name the original error and the step."""

    def __init__(self, message: str, *, type: str = "StepError", step_id: str = "", stack: str = "") -> None:
        self.message = message
        self.type = type
        self.step_id = step_id
        self.stack = stack
        super().__init__(message)

    @staticmethod
    def of(failure: Failure) -> StepError:
        kind = StepTimeoutError if failure.type == "StepTimeoutError" else StepError
        return kind(failure.message, type=failure.type, step_id=failure.step_id or "", stack=failure.stack)


class StepTimeoutError(StepError):
    """The step exceeded its timeout."""


class TaskFailed(TidemillError):
    """An attempt of a program without an SDK failed; `failure` is what the run remembers of it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


class NonDeterministicError(NonRetriableError):
    """The code between steps took another path than the one in the journal of this run."""


class JournalError(TidemillError):
    """A journal that cannot be true. The run fails loudly rather than going on from half a history."""


class BundleError(TidemillError):
    """What is given as an exported run is none, or not a whole one."""


class Unavailable(TidemillError):
    """A store or queue did not answer in time. It may have carried out the request: check before you repeat it."""
