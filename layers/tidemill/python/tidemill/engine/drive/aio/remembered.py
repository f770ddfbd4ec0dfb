"""Queries of the journal for the engine's own code (a definition's graph), beyond `ctx.step`."""

from __future__ import annotations

from tidemill.core.handed import knows
from tidemill.engine.drive.aio.gate import LAST
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.replayed import Replayed, this_branch


class Remembered:
    """Part of a driver."""

    live: LiveRun
    replayed: Replayed

    def completion_order(self, id: str) -> int:
        """The turn of a step that has ended, among all that have."""
        return self.live.state.completion_order.get(this_branch().name(id), LAST)

    def known(self, id: str) -> bool:
        """Whether the journal remembers anything of this step."""
        return knows(self.live.state, this_branch().name(id))

    def gives_up(self, id: str) -> None:
        """The code will not come to this step, whatever the journal remembers of it."""
        self.replayed.uncalled.discard(this_branch().name(id))
