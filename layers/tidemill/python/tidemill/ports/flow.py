"""The store of flow control: places and their lines, starts, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from tidemill.core.flow.throttle import Limit, Turn
from tidemill.model import Place


class Waiting(msgspec.Struct, frozen=True):
    """A run in a line. `token`: the number of the claim that it will make once it has its place."""

    run_id: str
    function_id: str
    token: int
    rank: int


class Hold(msgspec.Struct, frozen=True):
    """The run that holds a place, under the claim with the number `token`, until `until` unless that is extended."""

    run_id: str
    token: int
    until: int


class Leaver(msgspec.Struct, frozen=True):
    """A run that gives up its place, if it holds it under a claim with the number `upto` or an earlier one.

    Without `upto`: any place of the run, and, with its `rank`, its position in line.
    """

    run_id: str
    upto: int | None = None
    rank: int | None = None


class Grant(msgspec.Struct, frozen=True):
    """How free places are given to the first in line: at the time `now`, to be claimed `until` then.

    `limit` returns the number of places for a function.
    """

    now: int
    until: int
    limit: Callable[[str], int]


class Window(msgspec.Struct, frozen=True):
    """The run that collects events under a key. `seq` is the number of its last record, `count` that of its events;
    both may be stale (the journal decides)."""

    run_id: str
    seq: int
    count: int
    since: int


class Usage(msgspec.Struct, frozen=True):
    """One key of a limit: places in use, runs in line, and since when the longest has waited."""

    label: str
    used: int
    waiting: int
    oldest: int | None = None


class FlowStore(Protocol):
    """What flow control remembers, under the keys of `core.flow`. A function without flow control never comes here.

    A holder is a run under one of its claims. The claim's number in the journal (its token) identifies it: a later
    claim of the run takes over the place of an earlier one, which can then neither take the place nor give it up.

    A line is served in its order: while runs wait in it, only the first can get a place.
    """

    def take(self, place: Place, hold: Hold, now: int, *, known: bool) -> bool:
        """Take one of the places under this key, or keep it under a newer claim. False also where runs wait in line,
        even if a place is free: the caller then parks the run.

        A place that counts steps is free once its holder's `until` has passed; one that counts runs is not. Under one
        and the same claim `until` never gets shorter: of two executors, the slower may be the one that loses.
        `known`: the run may already hold a place here. Harmless to do twice.
        """
        ...

    def park(self, place: Place, waiting: Waiting, grant: Grant) -> list[tuple[str, str]]:
        """Put the run in line, then give the free places to the first in line, as `pass_on` does: perhaps to this run.

        A run that is already in line keeps its position and gets the new token.
        """
        ...

    def pass_on(self, place: Place, leaver: Leaver, grant: Grant) -> list[tuple[str, str]]:
        """Give up the run's place, and give the free places to the first in line.

        Returns the runs with a place that they have not yet claimed, as (run_id, function_id): the caller wakes them.

        A place that a run gives up is never free while another waits. Harmless to do twice: the answer names the same
        runs again.
        """
        ...

    def holders(self, key: str) -> list[Hold]: ...

    def lines(self, family: str) -> list[tuple[str, str]]:
        """The keys of a limit (their common prefix) that have runs in line, each with its label."""
        ...

    def ahead(self, key: str, run_id: str, rank: int) -> int | None:
        """How many runs stand before this one, which has this rank, in the line of a key; None: it stands in none."""
        ...

    def in_line(self, key: str) -> Iterator[tuple[str, str]]:
        """The runs in the line of a key, in order, as (run_id, function_id)."""
        ...

    def spend(self, key: str, now: int, limit: int, period: int) -> int:
        """Advance a throttle's stored number by one start (see `core.flow.throttle`), in one write; return it."""
        ...

    def begin(self, key: str, run_id: str, turn: Turn, now: int, limit: Limit) -> Turn | None:
        """None if the run may begin now within its throttle, else when it may: see `core.flow.throttle.begin`."""
        ...

    def count(self, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
        """Whether this run may start now within its rate limit; if so, it is counted, once."""
        ...

    def first(self, key: str, run_id: str, now: int, until: int) -> str:
        """The run that has the idempotency key: this one from now on, unless another has it until a later time."""
        ...

    def forget(self, key: str, run_id: str) -> None:
        """Release the idempotency key of a run that was skipped after all."""
        ...

    def window(self, key: str) -> Window | None:
        """The run that collects events under this key."""
        ...

    def move_window(self, key: str, was: str | None, window: Window, now: int) -> Window:
        """Replace the window of the run `was` (None: no window) by `window`; return the window that is stored then.

        A window of the same run is moved forward only. Harmless to do twice.
        """
        ...

    def usage(self, family: str, top: int) -> list[Usage]:
        """The sum of all keys of a limit (their common beginning), then the `top` with the longest lines.

        With very many keys or runs in line, the numbers are lower bounds.
        """
        ...
