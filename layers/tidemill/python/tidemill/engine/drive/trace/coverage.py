"""Tracks which code an earlier execution of this attempt has already run: `ctx.logger` is silent there.

Code continues when it receives a step's outcome. The code after an outcome is new in the first execution that receives
it, and covered in every later one; the journal says which outcomes no execution has received (`RunState.untold`). The
code before the first outcome is new only in the first execution.

Each branch of a sync function is a scope. Async code receives one outcome at a time and runs until nothing follows, so
all of its tasks share one scope.
"""

from __future__ import annotations

from tidemill.engine.drive.live import LiveRun


class Coverage:
    """`silent`: nothing is new here (the code only leads to a map)."""

    def __init__(self, live: LiveRun, uncalled: set[str], silent: bool) -> None:
        self._live = live
        self._uncalled = uncalled
        self._silent = silent
        self._new = {"": not (live.state.executed or live.began)}
        self._ahead = {key for key in live.state.untold if key in uncalled}
        self._within: dict[str, set[str]] = {}
        self.outcomes: dict[str, int] = {}  # by scope, how many outcomes were delivered
        self.left: set[str] = set()  # branches that were left while others continue
        live.began = True

    def covers(self, scope: str) -> bool:
        if self._silent or self._live.leaving is not None or any(map(scope.startswith, self.left)):
            return True
        return not self._new.get(scope, True) or self._leads_on(scope)

    def told(self, scope: str, key: str) -> None:
        """The code of this scope receives the outcome of the step."""
        live = self._live
        self.outcomes[scope] = self.outcomes.get(scope, 0) + 1
        if live.leaving is None:
            self._new[scope] = key in live.state.untold and key not in live.told
            live.told_now.add(key)

    def begin(self, scope: str, parent: str) -> None:
        """A branch begins: new if what led to it is, or if it was cut off before it could begin."""
        live = self._live
        self._new[scope] = self._new.get(parent, True) or (scope in live.state.untold and scope not in live.told)
        if live.leaving is None:
            live.told_now.add(scope)

    def cut(self, scope: str) -> None:
        """A branch does not begin, since the run is left."""
        self._live.cut.add(scope)

    def join(self, scopes: list[str], parent: str) -> None:
        """These branches have ended: what follows is new if the end of any is."""
        self.outcomes[parent] = self.outcomes.get(parent, 0) + 1
        self._new[parent] = any(self._new.get(scope, True) for scope in scopes)

    def _leads_on(self, scope: str) -> bool:
        """Whether this scope was at a later step before: in an attempt that failed, or in a process that died."""
        if not self._ahead:
            return False
        ahead = self._within.get(scope)
        if ahead is None:
            ahead = self._within[scope] = {key for key in self._ahead if key.startswith(scope)}
        while ahead and (key := next(iter(ahead))) not in self._uncalled:
            ahead.discard(key)
        return bool(ahead)


def untold(live: LiveRun) -> tuple[str, ...]:
    """The outcomes that the code has not received, and the branches that have not begun, when the run is left."""
    return (*sorted(live.state.untold - live.told - live.told_now), *sorted(live.cut))
