"""Steps whose work has been handed over: it goes on elsewhere, and its end is told from outside.

A container or a Lambda may work for hours, and nobody should be paid for waiting. So the attempt that has begun it is
*blocked*, as a wait is, under a key of its own (the step's and the attempt's number), and its end comes as a `Resolved`
under that key. What that means for the step (a result, another attempt, the end) is decided where its code runs. The
end of an attempt that is over, told late or twice, finds its key taken or passed, and changes nothing.
"""

from __future__ import annotations

from tidemill.core.journal import Blocked, Resolved
from tidemill.core.state import RunState
from tidemill.core.step_keys import attempt_key, is_handed, step_of

__all__ = ["attempt_key", "concerns", "is_handed", "knows", "step_of", "told_outside", "under_way"]


def told_outside(blocked: Blocked) -> bool:
    """Whether what the step waits for is told by an outsider."""
    return blocked.kind in ("wait", "signal", "invoke", "map") or is_handed(blocked.key)


def knows(state: RunState, key: str) -> bool:
    """Whether the journal says anything of this step: that it has ended, failed, is blocked, or at work elsewhere."""
    if key in state.done or key in state.tried:
        return True
    return any(step_of(each) == key for each in (*state.blocked, *state.resolved))


def under_way(state: RunState, key: str, attempt: int) -> Blocked | Resolved | None:
    """What the journal knows of this attempt, where it has been handed over."""
    own = attempt_key(key, attempt)
    return state.resolved.get(own) or state.blocked.get(own)


def concerns(state: RunState, key: str, attempt: int) -> bool:
    """Whether the end of this attempt still tells the run anything."""
    if state.terminal is not None or key in state.done or attempt_key(key, attempt) in state.resolved:
        return False
    tried = state.tried.get(key)
    return tried is None or tried.attempt < attempt
