"""Queries of runs and events, and the pages that answer them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from tidemill.model import RunStatus


class RunQuery(msgspec.Struct, frozen=True):
    """Runs, newest first or `oldest` first. `after` and `before` compare `created_at`, and exclude it; `cursor` is the
    last row of the page before."""

    function_id: str | None = None
    status: RunStatus | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (created_at, run_id)
    before: int | None = None
    oldest: bool = False


class EventQuery(msgspec.Struct, frozen=True):
    """Events, newest first or `oldest` first. `after` and `before` compare `received_at`; signals are never listed."""

    name: str | None = None
    user: str | None = None
    after: int | None = None
    limit: int = 50
    cursor: tuple[int, str] | None = None  # (received_at, id)
    rejected: bool = False  # the rejected ones in place of all others
    before: int | None = None
    oldest: bool = False


Row = TypeVar("Row")


class Damaged(NamedTuple):
    """A row of a list that cannot be read."""

    before: int  # how many rows of its page stand before it
    at: int
    id: str
    problem: str


class Page(list[Row]):
    """The readable rows of a list, and the damaged ones by name. `cut`: the limit of bytes ended it; more follows."""

    def __init__(self, rows: Iterable[Row] = (), damaged: Sequence[Damaged] = (), cut: bool = False) -> None:
        super().__init__(rows)
        self.damaged = tuple(damaged)
        self.cut = cut

    def next_cursor(self, limit: int, key: Callable[[Row], tuple[int, str]]) -> tuple[int, str] | None:
        """Where the next page begins, if there is one; `limit`: of this one. Damaged rows may be named there again."""
        if not self.cut and len(self) + len(self.damaged) < limit:
            return None
        return key(self[-1]) if self else (self.damaged[-1].at, self.damaged[-1].id)
