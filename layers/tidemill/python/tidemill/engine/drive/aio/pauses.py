"""Two timers of an async execution: how long its code may await other things than steps, and the next journal check."""

from __future__ import annotations

PATIENCE = 2.0  # seconds


class Pauses:
    """Times are the loop's, in seconds."""

    def __init__(self) -> None:
        self._outside: float | None = None  # since when the code awaits no step that is at work
        self._asked: float | None = None  # when the run was last asked what it was told

    def at_steps(self) -> None:
        """The code awaits its steps again."""
        self._outside = None

    def patience(self, now: float) -> float:
        """For how long the code may still await something other than its steps."""
        self._outside = self._outside if self._outside is not None else now
        return self._outside + PATIENCE - now

    def until_asked(self, now: float, pause: float) -> float:
        """For how long the run need not be asked again whether it was told something; 0 or less: now."""
        if self._asked is None or now - self._asked > 2 * pause:
            self._asked = now  # nothing has been waited for until now
        left = self._asked + pause - now
        if left <= 0:
            self._asked = now
        return left
