"""The keys of steps, and what the journal remembers of them.

The code between steps runs again whenever a run goes on. Each step that it reaches gets its key in the order in which
its branch reaches it: the id, then `id:1`, `id:2`, … Branches of `parallel` have scopes of their own (`p0/2/a`), so
that the order in which branches happen to run changes no key.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from tidemill.core.handed import is_handed
from tidemill.core.journal import Resolved, StepDone
from tidemill.errors import NonDeterministicError, NonRetriableError
from tidemill.execute.live import LiveRun
from tidemill.model import StepKind


@dataclass(slots=True)
class Branch:
    """One line of execution: its scope, and how often it has used each id."""

    prefix: str = ""
    counts: dict[str, int] = field(default_factory=dict[str, int])
    used: set[str] = field(default_factory=set[str])
    parallels: int = 0
    siblings: dict[str, int] | None = None  # who of this parallel's branches has used an id
    number: int = 0

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
        key = f"{self.prefix}{step_id}:{count}" if count else self.prefix + step_id
        while key in self.used:  # an id that looks like another's repetition
            count += 1
            key = f"{self.prefix}{step_id}:{count}"
        self.used.add(key)
        return key

    def branches(self, count: int) -> list[Branch]:
        prefix = f"{self.prefix}p{self.parallels}/"
        self.parallels += 1
        siblings: dict[str, int] = {}
        return [Branch(f"{prefix}{number}/", siblings=siblings, number=number) for number in range(count)]

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


def this_branch() -> Branch:
    """The line of execution that calls a step."""
    found = branch.get(None)
    if found is None:
        raise NonRetriableError(
            "a step is called in a thread that the function has started itself, where the order of steps is left to "
            "chance; steps run side by side in step.parallel, step.map or, in an async function, asyncio.gather"
        )
    return found


class Tape:
    """What one execution of the code has reached of what the journal remembers."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        known = live.state.done.keys() | live.state.resolved.keys()
        self.unheard = len(known) - sum(map(is_handed, known)) if live.state.resolved else len(known)

    @property
    def replaying(self) -> bool:
        """Whether the code is still on ground that it has covered before."""
        return self.unheard > 0

    def recall(self, key: str, kind: StepKind) -> StepDone | Resolved | None:
        """How this step ended, if it has."""
        state = self.live.state
        done = state.done.get(key)
        if done is not None:
            if done.kind != kind:
                raise unlike(key, done.kind, kind)
            self.unheard -= 1
            return done
        known = state.blocked.get(key) or state.tried.get(key)
        if known is not None and known.kind != kind:
            raise unlike(key, known.kind, kind)
        resolved = state.resolved.get(key)
        if resolved is None:
            return None
        if kind not in _kinds(resolved):
            raise unlike(key, _kinds(resolved)[0], kind)
        if kind == "map":
            return None
        self.unheard -= 1
        return resolved


def _kinds(resolved: Resolved) -> tuple[StepKind, ...]:
    """What a step may be whose wait ended like this."""
    if resolved.event is not None:
        return ("wait", "signal")
    if resolved.value is not None or resolved.failure is not None:
        return ("invoke",)
    return ("wait", "signal", "map")


def unlike(key: str, found: str, asked: str) -> NonDeterministicError:
    return NonDeterministicError(
        f"step {key!r} is a {asked!r} step now, but this run's journal remembers it as {found!r}: the code changed "
        "while the run was under way; give the new step an id of its own"
    )
