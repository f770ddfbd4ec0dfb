"""Additions for an executor with its own process: notes of executing steps, and errors that must not escape."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.live import Left
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill.run_logs import LogLine

if TYPE_CHECKING:
    from tidemill.engine.drive.live import LiveRun
    from tidemill.engine.drive.passed_by import Judge


class Notes(Protocol):
    """Where steps are noted while their code runs, for others to read."""

    def begin(self, run_id: str, key: str, attempt: int, since: int, timeout: int | None) -> int | None: ...

    def end(self, number: int | None) -> None: ...


class ExecutorGone(BaseException):
    """This executor has come to its end, not the user's code."""


class Passing(BaseException):
    """Stands, in the user's code, for an error that is in `Host.passing`: no `except Exception` takes it."""


def _none(_: BaseException) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Host:
    """`notes`: where steps at work are noted. `crash`: of what the run's last executor died, where that is known.
    `passes`: which errors are for the caller of `drive`, not the run's own. `passing`: those that steps have raised.
    `deadlocks`: whether async code that nothing can wake any more fails its run. `beside_store`: whether the store is
    on this machine, so that asking it costs nothing. `judge`: is told where code passes by what its run remembers.
    `version`: of the code that runs here. `say`: keeps what code logs.
    """

    notes: Notes | None = None
    crash: Failure | None = None
    passes: Callable[[BaseException], bool] = _none
    passing: list[BaseException] = field(default_factory=list["BaseException"])
    deadlocks: bool = False
    beside_store: bool = False
    judge: Judge | None = None
    say: Callable[[LogLine], object] | None = None
    version: str = ""

    def changed(self, live: LiveRun) -> bool:
        """Whether the run began with other code than runs here."""
        return bool(self.version) and live.head.version != self.version

    def noted(self, note: Callable[[Notes], int | None], fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn`, noted from its first line to its last, even where its run has given it up meanwhile.

        What it raises that is no `Exception` becomes a failure of the step, by its own name; an error for the caller of
        `drive` is stored for `pass_on`.
        """

        def begin() -> int | None:
            return note(self.notes) if self.notes is not None else None

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            return await self._rest(fn(*args, **kwargs), begin())

        def run(*args: Any, **kwargs: Any) -> Any:
            number = begin()
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                self._end(number)
                if (told := self._told(error)) is not None:
                    raise told from error
                raise
            if inspect.isawaitable(result):
                return self._rest(result, number)
            self._end(number)
            return result

        return run_async if inspect.iscoroutinefunction(fn) else run

    async def _rest(self, result: Awaitable[Any], number: int | None) -> Any:
        try:
            return await result
        except BaseException as error:
            if not _is_cancellation(error) and (told := self._told(error)) is not None:
                raise told from error
            raise
        finally:
            self._end(number)

    def pass_on(self, error: BaseException | None) -> None:
        """Raise the stored error for the caller of `drive`, even if the user's code caught it."""
        if self.passing:
            raise self.passing.pop(0)
        if error is not None and self.passes(error):
            raise error

    def _told(self, error: BaseException) -> BaseException | None:
        """What the user's code sees in place of an error of a step."""
        if self.passes(error):
            self.passing.append(error)
            return Passing(str(error))
        return TaskFailed(failure_of(error, 0)) if self.is_stray(error) else None

    def is_stray(self, error: BaseException) -> bool:
        """Whether this is an error of the user's code that no `except Exception` has seen."""
        known = isinstance(error, Exception | SystemExit | GeneratorExit | Left | ExecutorGone)
        return not (known or self.passes(error))

    def _end(self, number: int | None) -> None:
        if self.notes is not None:
            self.notes.end(number)


def _is_cancellation(error: BaseException) -> bool:
    import asyncio

    return isinstance(error, asyncio.CancelledError)
