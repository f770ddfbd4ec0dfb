"""Remote attempts of steps: the run waits for one, and an outsider ends it (see `core.handed`)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from tidemill import values
from tidemill.core import handed
from tidemill.core.journal import Blocked, Resolved
from tidemill.core.step_keys import attempt_key
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.runs.append import tell
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill.ports import World
from tidemill.task import Handed


def outcome(live: LiveRun, key: str, attempt: int, since: int, until: int) -> Generator[Blocked, None, Any]:
    """Wait for the end of this attempt, and return its value. Raises TaskFailed, also if no end came in time."""
    own = attempt_key(key, attempt)
    blocked = live.elsewhere[own] = Blocked(own, "run", since, until)
    while (resolved := live.state.resolved.get(own)) is None:
        if until <= live.clock.now():
            raise TaskFailed(Failure("StepTimeoutError", f"step {key!r} was handed over, and did not end in time"))
        yield blocked
    if resolved.failure is not None:
        raise TaskFailed(resolved.failure)
    return values.decode(resolved.value) if resolved.value is not None else None


def taken_up(live: LiveRun, key: str, attempt: int) -> tuple[Handed, int] | None:
    """The attempt that the journal knows to be under way, and since when; None: it has yet to be begun."""
    known = handed.under_way(live.state, key, attempt) or live.elsewhere.get(attempt_key(key, attempt))
    if known is None:
        return None
    if isinstance(known, Resolved):
        return Handed(known.at), known.at
    return Handed(known.until or known.since), known.since


def ended(world: World, run_id: str, key: str, attempt: int, end: bytes | Failure) -> bool:
    """Append the end of this attempt of a step: an encoded value, or a failure. Harmless to do twice.

    False: the run does not need it. The caller wakes the run.
    """
    own = attempt_key(key, attempt)
    now = world.clock.now()
    record = Resolved(own, now, failure=end) if isinstance(end, Failure) else Resolved(own, now, end)
    return tell(world, run_id, lambda state: ([record], None) if handed.concerns(state, key, attempt) else None)
