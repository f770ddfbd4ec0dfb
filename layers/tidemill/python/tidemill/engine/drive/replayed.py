"""Replay: the keys of steps, and their outcomes in the journal.

The code between steps runs again whenever a run continues. Each step that it reaches gets its key in the order in which
its branch reaches it: the id, then `id:1`, `id:2`, … Branches of `parallel` have scopes of their own (`p0/2/a`), so
that the order in which branches happen to run changes no key.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tidemill.core.journal import Resolved, StepDone
from tidemill.core.step_keys import escaped, is_handed
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.passed_by import Ahead, resolved_kinds
from tidemill.engine.drive.trace.coverage import Coverage
from tidemill.engine.drive.trace.frames import users_line
from tidemill.errors import NonDeterministicError, NonRetriableError
from tidemill.model import StepKind

if TYPE_CHECKING:
    import asyncio

    from tidemill.engine.drive.steps import Call, Plan


@dataclass(slots=True)
class Branch:
    """One line of execution: its scope, and how often it has used each id."""

    prefix: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    used: set[str] = field(default_factory=set[str])
    parallels: int = 0
    siblings: dict[str, int] | None = None  # who of this parallel's branches has used an id
    number: int = 0
    escapes: bool = True  # an older run's ids are keys as they are

    def name(self, step_id: str) -> str:
        """The key of the first step with this id."""
        return self.prefix + (escaped(step_id) if self.escapes else step_id)

    def key(self, step_id: str) -> str:
        if attempt.get(0):
            raise NonRetriableError(
                f"step {step_id!r} is called inside of another step: a remembered step's code does not run again, so "
                "what is inside is not remembered by itself; make it a step of its own, or call its function plainly"
            )
        count = self.counts.get(step_id, 0)
        self.counts[step_id] = count + 1
        if self.siblings is not None and count == 0:
            self._claim(step_id, self.siblings)
        name = self.name(step_id)
        key = f"{name}:{count}" if count else name
        while key in self.used:  # an id that looks like another's repetition
            count += 1
            key = f"{name}:{count}"
        self.used.add(key)
        return key

    def branches(self, count: int) -> list[Branch]:
        prefix = f"{self.prefix}p{self.parallels}/"
        self.parallels += 1
        siblings: dict[str, int] = {}
        return [
            Branch(f"{prefix}{number}/", siblings=siblings, number=number, escapes=self.escapes)
            for number in range(count)
        ]

    def _claim(self, step_id: str, siblings: dict[str, int]) -> None:
        other = siblings.setdefault(step_id, self.number)
        if other != self.number:
            raise NonRetriableError(
                f"two branches of one parallel ({other} and {self.number}) have a step with the id {step_id!r}; if "
                "the calls are lambdas made in a loop, bind the loop variable when each is made: "
                "lambda item=item: ctx.step.run(f'... {item}', ...)"
            )


branch: ContextVar[Branch] = ContextVar("tidemill_branch")
attempt: ContextVar[int] = ContextVar("tidemill_attempt")
at_step: ContextVar[tuple[str, str]] = ContextVar("tidemill_step")  # its key, and the number of an item of a map


def enter(live: LiveRun, key: str, number: int) -> None:
    """What runs in this context is this attempt of a step."""
    parent = live.head.parent
    attempt.set(number)
    at_step.set((parent.key, key) if parent is not None and parent.chunk is not None else (key, ""))


def this_branch() -> Branch:
    """The line of execution that calls a step."""
    found = branch.get(None)
    if found is None:
        raise NonRetriableError(
            "a step is called in a thread that the function has started itself, where the order of steps is left to "
            "chance; steps run side by side in step.parallel, step.map or, in an async function, asyncio.gather"
        )
    return found


class Found(NamedTuple):
    """The function of a map, and the context variables where the code gave it."""

    fn: Callable[[Any], Any]
    context: Context


class Watch(Protocol):
    """Looks on while code is replayed that must do nothing (see `dry.replay`)."""

    task: asyncio.Task[Any] | None  # of async code
    stop: Callable[[], object] | None  # ends async code where it waits

    def begins(self, replayed: Replayed) -> None:
        """An execution of the code begins."""
        ...

    def reaches(self, key: str, kind: StepKind, target: str) -> None:
        """The code has come to a step; `target`: what it invokes or waits for."""
        ...

    def stops(self, plan: Plan, key: str, scope: str) -> Call | None:
        """The code has come to a step that the journal does not know how to answer."""
        ...


class Replayed:
    """What one execution of the code has reached of what earlier ones have. `seeking`: it only leads to a map."""

    def __init__(self, live: LiveRun, *, seeking: bool = False) -> None:
        self.live = live
        self.leads = seeking and live.watch is None  # to a map's part
        self.uncalled = _reached(live)  # steps that an earlier execution has reached, and this one not yet
        self.coverage = Coverage(live, self.uncalled, seeking)
        self.ahead = Ahead(live, self.uncalled)
        self._order: list[str] | None = None
        self.place: Callable[[], str] = users_line  # the current line of the code, as file:line
        live.given, live.asked = {}, {}
        if live.watch is not None:
            live.watch.begins(self)

    def next_turn(self, last: int) -> int | None:
        """The turn of the first step that the code has yet to reach again; `last`: it has not ended."""
        if self._order is None:
            completion_order = self.live.state.completion_order
            self._order = sorted(self.uncalled, key=lambda key: completion_order.get(key, last), reverse=True)
        while self._order and self._order[-1] not in self.uncalled:
            self._order.pop()
        return self.live.state.completion_order.get(self._order[-1], last) if self._order else None

    def stops(self, plan: Plan, key: str, scope: str) -> Call | None:
        """This execution does no work, except for what the watch answers."""
        return self.live.watch.stops(plan, key, scope) if self.live.watch is not None else None

    def recall(self, key: str, kind: StepKind, target: str = "") -> StepDone | Resolved | None:
        """The outcome of this step, if it has ended."""
        if self.live.watch is not None:
            self.live.watch.reaches(key, kind, target)
        self.uncalled.discard(key)
        self.live.called.add(key)
        if kind in ("wait", "signal"):
            self.live.asked[key] = len(self.live.given)
        state = self.live.state
        done = state.done.get(key)
        if done is not None:
            if done.kind != kind:
                raise unlike(key, done.kind, kind)
            return done
        known = state.blocked.get(key) or state.tried.get(key)
        if known is not None and known.kind != kind:
            raise unlike(key, known.kind, kind)
        resolved = state.resolved.get(key)
        if resolved is None:
            return None
        if kind not in resolved_kinds(resolved):
            raise unlike(key, resolved_kinds(resolved)[0], kind)
        if kind == "map":
            return None
        return resolved


def _reached(live: LiveRun) -> set[str]:
    """The steps that earlier executions have come to, as far as the journal and this process know."""
    state = live.state
    live.reached |= live.called
    live.told |= live.told_now
    live.called, live.told_now, live.cut = set(), set(), set()
    keys = {*state.done, *state.resolved, *state.blocked, *state.tried, *live.reached}
    return {key for key in keys if not is_handed(key)} if state.resolved or state.blocked else keys


def unlike(key: str, found: str, asked: str) -> NonDeterministicError:
    return NonDeterministicError(
        f"step {key!r} is a {asked!r} step now, but this run's journal remembers it as {found!r}: the code changed "
        "while the run was under way; give the new step an id of its own"
    )
