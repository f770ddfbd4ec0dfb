"""Looks on while code is replayed, and keeps the first difference."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill.core.journal import Blocked
from tidemill.core.state import RunState
from tidemill.core.step_keys import branch_of
from tidemill.engine.drive.dry.difference import About, Difference, Kind
from tidemill.engine.drive.dry.journal import NewWork, Recorded
from tidemill.engine.drive.dry.until import Until
from tidemill.engine.drive.passed_by import Missed, Passed, remembered, resolved_kinds
from tidemill.engine.drive.replayed import Replayed
from tidemill.engine.drive.steps import Call, Plan
from tidemill.model import StepKind

if TYPE_CHECKING:
    import asyncio
    from typing import Unpack


class DryWatch:
    """`ordered`: whether the code's steps have one order in each branch, as those of a sync function do.
    `new`: the first step that the journal does not know, and where the code stood.
    """

    def __init__(
        self, function_id: str, recorded: Recorded, state: RunState, *, ordered: bool, until: Until | None = None
    ) -> None:
        self._until = until
        self.task: asyncio.Task[Any] | None = None
        self.stop: Callable[[], object] | None = None
        self.difference: Difference | None = None
        self.new: tuple[str, str] | None = None
        self.reached = 0
        self.over = False  # nobody waits for this replay any more
        self.replayed: Replayed
        self._function_id = function_id
        self.recorded = recorded
        self._state = state
        self._positions = recorded.positions()
        self._targets = recorded.targets()
        self._ordered = ordered and state.failed is None and not state.birth.again
        self._last: dict[str, tuple[int, str]] = {}  # by scope, the step that came last, and its turn

    def begins(self, replayed: Replayed) -> None:
        self.replayed = replayed

    def reaches(self, key: str, kind: StepKind, target: str) -> None:
        if self.over:
            _rest()  # this code swallows whatever is to end it, and would loop without end
        self.reached += 1
        known = _kinds(self._state, key)
        if known and kind not in known:
            self._step("kind", key, known[0], f"step {key!r} as {known[0]!r}", f"has made it {kind!r}")
        was = self._targets.get(key)
        if was is not None and target and target != was:
            self._step("target", key, kind, f"step {key!r} waiting for {was!r}", f"has made it wait for {target!r}")
        if self._ordered:
            self._in_order(key, kind)

    def _in_order(self, key: str, kind: StepKind) -> None:
        turn = self._state.completion_order.get(key)
        if turn is None:
            return
        scope = branch_of(key)
        last = self._last.get(scope)
        if last is not None and turn < last[0]:
            self._step("order", key, kind, f"step {key!r} before {last[1]!r}", f"comes to {last[1]!r} first")
        self._last[scope] = (turn, key)

    def stops(self, plan: Plan, key: str, scope: str) -> Call | None:
        step: Call | Blocked | None = None
        with contextlib.suppress(StopIteration, NewWork):
            step = next(plan)  # a step that is refused has no record, and the code may go on: that error passes
        if self._until is not None:
            return self._until.call(key, step)
        place = self.replayed.place()
        self.new = self.new or (key, place)
        if self.difference is None:
            self.replayed.ahead.begins(key, scope, lambda: place)
        return None

    def passed(self, passed: Passed) -> None:
        """Remembered steps were passed by."""
        missed = passed.steps[0]
        kind: Kind = "missing" if passed.begins is None else "key"
        found = "comes to its end" if passed.begins is None else f"goes on with step {passed.begins!r}"
        self._step(kind, missed.key, missed.kind, f"step {missed.key!r} ({missed.kind})", found, passed.place)

    def _step(self, kind: Kind, key: str, step_kind: str, expected: str, found: str, place: str | None = None) -> None:
        place = self.replayed.place() if place is None else place
        position = self._positions.get(key)
        self.found(kind, expected, found, step=key, step_kind=step_kind, place=place, position=position)

    def found(self, kind: Kind, expected: str, found: str, **about: Unpack[About]) -> None:
        """Keep this difference, if it is the first."""
        if self.difference is None:
            self.difference = Difference(kind, self._function_id, self.recorded.run_id, expected, found, **about)

    def left_out(self) -> Missed | None:
        """A remembered step that the code has not come to, though an error has ended it."""
        missed = remembered(self._state, tuple(self.replayed.uncalled))
        return min(missed, key=lambda each: self._positions.get(each.key, -1)) if missed else None


def _rest() -> None:
    """Rests for as long as the process lives, in a thread that does not keep it alive."""
    while True:
        with contextlib.suppress(BaseException):
            threading.Event().wait()


def _kinds(state: RunState, key: str) -> tuple[StepKind, ...]:
    known = state.done.get(key) or state.blocked.get(key) or state.tried.get(key)
    if known is not None:
        return (known.kind,)
    resolved = state.resolved.get(key)
    return resolved_kinds(resolved) if resolved is not None else ()
