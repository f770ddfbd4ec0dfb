"""The log lines of runs, written with `ctx.logger`, and the port that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from tidemill.model import Head

Cursor = tuple[int, str]


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """`step`: the step that said it, None between steps; `attempt`: of the step, else of the function.

    `mark` is the same where code that runs again says the same line again: it is kept once.
    """

    run_id: str
    at: int
    level: str
    message: str
    step: str | None
    attempt: int
    mark: str


class LogPage(NamedTuple):
    """`cursor`: where the next page begins; None: there is none. `dropped`: how many earlier lines are kept no more."""

    lines: Sequence[LogLine]
    cursor: Cursor | None
    dropped: int = 0


class Logs(Protocol):
    def page(self, head: Head, limit: int, cursor: Cursor | None) -> LogPage:
        """The next lines of a run, oldest first. Raises LookupError for a cursor that is not good any more.

        `limit`: where some are `dropped`, the line that says so is one of them.
        """
        ...


class NoLogs:
    """Nothing is kept."""

    def page(self, head: Head, limit: int, cursor: Cursor | None) -> LogPage:  # noqa: ARG002
        return LogPage((), None)
