"""`ctx.patched`: whether a run goes the new way of a change of its code, decided once and remembered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tidemill.core.journal import Patched
from tidemill.engine.drive.replayed import this_branch
from tidemill.errors import NonRetriableError
from tidemill.limits import STEP_ID_CHARS
from tidemill.sdk.name_rules import text_problem

if TYPE_CHECKING:
    from tidemill.engine.drive.live import LiveRun
    from tidemill.engine.drive.replayed import Replayed


class Patches:
    """The answers of one execution."""

    def __init__(self, live: LiveRun, replayed: Replayed) -> None:
        self._live = live
        self._replayed = replayed
        self._guard = threading.Lock()

    def __call__(self, id: str) -> bool:
        problem = text_problem(id, "the id of ctx.patched", STEP_ID_CHARS)
        if problem is not None:
            raise NonRetriableError(problem)
        with self._guard:  # branches may ask at the same time
            return self._answer(id)

    def _answer(self, id: str) -> bool:
        live = self._live
        known = live.state.patched.get(id) or live.patched.get(id)
        if known is not None:
            return known.new
        if self._replayed.leads:  # to a part of a map: the journal of the whole is not this execution's to write
            return False
        live.patched[id] = Patched(live.clock.now(), id, not self._has_steps_ahead())
        live.remember(live.patched[id])
        return live.patched[id].new

    def _has_steps_ahead(self) -> bool:
        """Whether the journal holds a step of this branch that the code has not come to yet."""
        state, prefix = self._live.state, this_branch().prefix
        known = (state.done, state.tried, state.blocked, state.resolved)
        ahead = [key for key in tuple(self._replayed.uncalled) if key.startswith(prefix)]
        return any(key in steps for key in ahead for steps in known)
