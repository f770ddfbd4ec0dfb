"""Detects nondeterministic code: steps in the journal that a replay passes by without reaching them.

A replay has passed a step by if its code begins a step that the journal does not know, or ends, before it has reached
the step. Each branch of a sync function is checked for the steps of its own scope: other branches may still reach
theirs. Async code is asked once nothing else can lead to the step any more (see `aio.driver`).

A step from before a failed attempt of the function proves nothing: the code may ask `ctx.attempt`. Nor does one that a
rerun took over from the run before: its input may be another.

A step whose run was handed over before the step began has done nothing: once the code has cancelled a task, which may
have led there, such a step is no fault. Nor is a wait that other code than the run began with has renamed: its event or
signal is free for the waits of the new code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from tidemill.core.journal import Resolved
from tidemill.core.state import RunState
from tidemill.core.step_keys import is_handed, scopes_of
from tidemill.model import StepKind

if TYPE_CHECKING:
    from tidemill.engine.drive.live import LiveRun

_NAMED = 3
_FREED: tuple[StepKind, ...] = ("wait", "signal")


class Missed(NamedTuple):
    """A step as the journal has it. `since`: when it began."""

    key: str
    kind: StepKind
    since: int


class Passed(NamedTuple):
    """`begins`: the step that the code begins instead; None: the code ended. `place`: where, as file:line.
    `changed`: the run began with other code.
    """

    run_id: str
    function_id: str
    steps: tuple[Missed, ...]
    begins: str | None
    place: str
    changed: bool

    def __str__(self) -> str:
        named = ", ".join(f"step {each.key!r} ({each.kind})" for each in self.steps[:_NAMED])
        more = f" and {len(self.steps) - _NAMED} more" if len(self.steps) > _NAMED else ""
        goes_on = f"goes on with step {self.begins!r}" if self.begins is not None else "comes to its end"
        at = f" at {self.place}" if self.place else ""
        why = _CHANGED if self.changed else _WHY
        return f"{self.function_id} passes by {named}{more}, which this run remembers, and {goes_on}{at}; {why}"


_WHY = (
    "the code between steps runs again whenever a run goes on and must reach the same steps: put what it takes from "
    "the clock, from chance or from elsewhere into a step and use its result (docs/concepts/determinism.md)"
)
_CHANGED = "the code has changed since the run began: what the step did is done, and its result is used no more"

Judge = Callable[[Passed], Exception | None]
"""Called for steps that were passed by. An error that it returns fails the run."""


class Ahead:
    """The remembered steps that an execution has yet to reach. Nothing is done unless the host judges."""

    def __init__(self, live: LiveRun, uncalled: Collection[str]) -> None:
        self._live = live
        self._uncalled = uncalled
        self._by_scope: dict[str, list[Missed]] | None = None
        self.cancelled = False  # the code has cancelled a task of its own
        parent = live.head.parent
        part = parent is not None and parent.chunk is not None  # of a map: the engine's own code
        self._host = live.host if not part else None

    def begins(self, key: str, scope: str, place: Callable[[], str]) -> bool:
        """The code begins what the journal does not know. False: it must not."""
        host = self._host
        if host is None or host.judge is None or not self._uncalled or host.changed(self._live):
            return True  # new code may have new steps before those that the journal knows
        error = self._judged(host.judge, scope, key, place)
        self._live.wrong = self._live.wrong or error
        return error is None

    def ends(self, place: Callable[[], str]) -> None:
        """The code came to its end. Raises the error that this is."""
        host = self._host
        if host is None or host.judge is None or not self._uncalled:
            return
        error = self._judged(host.judge, "", None, place)
        if error is not None:
            raise error

    def _judged(self, judge: Judge, scope: str, key: str | None, place: Callable[[], str]) -> Exception | None:
        live, missed = self._live, self._within(scope)
        changed = live.host is not None and live.host.changed(live)
        if changed:
            missed = tuple(each for each in missed if each.kind not in _FREED)
        if self.cancelled:
            missed = tuple(each for each in missed if not _unbegun(live.state, each.key))
        if not missed:
            return None
        return judge(Passed(live.head.run_id, live.head.function_id, missed, key, place(), changed))

    def _within(self, scope: str) -> tuple[Missed, ...]:
        """The steps that this scope has not reached, the oldest first; each is reported once."""
        if self._by_scope is None:
            self._by_scope = _scoped(self._live.state, tuple(self._uncalled))
        ahead = self._by_scope.get(scope, [])
        while ahead and ahead[-1].key not in self._uncalled:
            ahead.pop()
        missed = tuple(each for each in reversed(ahead) if each.key in self._uncalled)
        ahead.clear()
        return missed


def _scoped(state: RunState, uncalled: Collection[str]) -> dict[str, list[Missed]]:
    """By scope, the oldest last."""
    scoped: dict[str, list[Missed]] = {}
    order = {key: number for number, key in enumerate(state.completion_order)}
    latest = len(order)
    found = sorted(remembered(state, uncalled), key=lambda each: (each.since, order.get(each.key, latest)))
    for missed in reversed(found):
        for scope in scopes_of(missed.key):
            scoped.setdefault(scope, []).append(missed)
    return scoped


def remembered(state: RunState, keys: Collection[str]) -> list[Missed]:
    """Those of these steps that the journal holds since the last failed attempt of the function, or since a rerun."""
    since = _since(state)
    found = (_known(state, key) for key in keys if not is_handed(key))
    return [each for each in found if each is not None and each.since > since]


def _since(state: RunState) -> int:
    birth = state.birth
    inherited = birth.at if birth.again else -1  # its input, and its code, may be other than those of the first run
    return max(inherited, state.failed.at if state.failed is not None else -1)


def _known(state: RunState, key: str) -> Missed | None:
    if (done := state.done.get(key)) is not None:
        return Missed(key, done.kind, done.started_at)
    if (blocked := state.blocked.get(key)) is not None:
        return Missed(key, blocked.kind, blocked.since)
    if (tried := state.tried.get(key)) is not None:
        return Missed(key, tried.kind, tried.started_at)
    resolved = state.resolved.get(key)
    if resolved is None or _since(state) >= 0:  # when it began is not known any more
        return None
    return Missed(key, "map" if key in state.begun else resolved_kinds(resolved)[0], resolved.at)


def _unbegun(state: RunState, key: str) -> bool:
    """Whether the run was handed over before this step began; an attempt elsewhere, or to come, has its time."""
    blocked = state.blocked.get(key)
    return blocked is not None and blocked.kind == "run" and blocked.until is None and key not in state.tried


def resolved_kinds(resolved: Resolved) -> tuple[StepKind, ...]:
    """What a step may be whose wait ended like this."""
    if resolved.event is not None:
        return ("wait", "signal")
    if resolved.value is not None or resolved.failure is not None:
        return ("invoke",)
    return ("wait", "signal", "map")
