"""Remote attempts of steps: the program runs elsewhere (a container, a Lambda), and its end arrives from outside.

Such a program may run for hours, and no executor should be paid for waiting. So the attempt is *blocked*, as a wait is,
under its own key (the step's, and the attempt's number), and its end comes as a `Resolved` under that key. The run's
next execution decides what that means for the step (a result, another attempt, the end). If the end of an attempt
arrives late or twice, its key is resolved or past already, and nothing changes.
"""

from __future__ import annotations

from tidemill.core.journal import Blocked, Resolved
from tidemill.core.state import RunState
from tidemill.core.step_keys import attempt_key, is_handed, step_of


def told_outside(blocked: Blocked) -> bool:
    """Whether an outsider resolves what the step waits for."""
    return blocked.kind in ("wait", "signal", "invoke", "map") or is_handed(blocked.key)


def knows(state: RunState, key: str) -> bool:
    """Whether the journal knows this step: it has ended, failed, is blocked, or executes elsewhere."""
    if key in state.done or key in state.tried:
        return True
    return any(step_of(each) == key for each in (*state.blocked, *state.resolved))


def under_way(state: RunState, key: str, attempt: int) -> Blocked | Resolved | None:
    """The journal's entry for this attempt, if it is remote."""
    own = attempt_key(key, attempt)
    return state.resolved.get(own) or state.blocked.get(own)


def concerns(state: RunState, key: str, attempt: int) -> bool:
    """Whether the end of this attempt still matters to the run."""
    if state.terminal is not None or key in state.done or attempt_key(key, attempt) in state.resolved:
        return False
    tried = state.tried.get(key)
    return tried is None or tried.attempt < attempt
