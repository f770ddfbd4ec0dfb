"""Follow runs to their end, step by step, without hammering the server.

A run is asked for again after 20 ms, and while nothing changes ever later, up to half a second: a run of a few
milliseconds is seen to end at once, and one that sleeps for a week costs two small requests a second.
"""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from tidemill_local.cli.http import Api, Refusal, Unreachable, event_path, part
from tidemill_local.cli.stop import INTERRUPTED, Stop
from tidemill_local.cli.story import BAD, ENDED, Run

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOONEST, _LATEST, _SLOWER = 0.02, 0.5, 1.5  # seconds, seconds, factor
_PATIENCE = 15.0  # seconds that a server may be away, as when it is restarted
_APPEARS = 3.0  # seconds: elsewhere than on this machine, an event and its runs appear a little later


class Screen(Protocol):
    """Where the runs are shown as they grow."""

    def show(self, runs: list[Run]) -> None: ...

    def close(self, runs: list[Run]) -> None: ...


class Pace:
    """How long to rest before the next look."""

    def __init__(self) -> None:
        self._rest = _SOONEST

    def changed(self) -> None:
        self._rest = _SOONEST

    def rest(self, cost: float = 0.0) -> None:
        """`cost`: seconds that the last look took; a costly one is not repeated at once."""
        sleep(max(self._rest, min(4 * cost, _LATEST)))
        self._rest = min(self._rest * _SLOWER, _LATEST)


def of_event(api: Api, event_id: str, pace: Pace) -> list[str]:
    """The runs that an event started, oldest first."""
    deadline = monotonic() + (0 if api.local else _APPEARS)
    while True:
        try:
            runs: list[Run] = _patiently(api, event_path(event_id, "/runs"), pace)
        except Refusal as refusal:
            if refusal.status != 404 or monotonic() >= deadline:
                raise
            runs = []
        if runs or monotonic() >= deadline:
            return [run["run_id"] for run in runs]
        pace.rest()


def follow(api: Api, run_ids: list[str], screen: Screen, pace: Pace) -> list[Run]:
    """Show these runs until all have ended, and return them as they are then."""
    runs: dict[str, Run] = {}
    try:
        for _ in _looks(api, run_ids, runs, pace):
            screen.show(list(runs.values()))
    except KeyboardInterrupt:
        still = next(run_id for run_id in run_ids if run_id not in runs or runs[run_id]["status"] not in ENDED)
        screen.close(list(runs.values()))
        raise Stop(INTERRUPTED, f"no longer watching; the run goes on: tidemill runs show {still}") from None
    screen.close(list(runs.values()))
    return list(runs.values())


def failed(runs: list[Run]) -> bool:
    return any(run["status"] in BAD for run in runs)


def _looks(api: Api, run_ids: list[str], runs: dict[str, Run], pace: Pace) -> Iterator[None]:
    """Look at every run that has not ended; once for each yield."""
    open_ = list(run_ids)
    while open_:
        before = monotonic()
        for run_id in open_:
            now: Run = _patiently(api, f"/v1/runs/{part(run_id)}", pace)
            if _mark(now) != _mark(runs.get(run_id)):
                pace.changed()
            runs[run_id] = now
        yield
        open_ = [run_id for run_id in open_ if runs[run_id]["status"] not in ENDED]
        if open_:
            pace.rest((monotonic() - before) / len(open_))


def _patiently(api: Api, path: str, pace: Pace) -> Any:
    """Ask, with patience for a server that is being restarted."""
    deadline = monotonic() + _PATIENCE
    while True:
        try:
            return api.get(path)
        except (Unreachable, Refusal) as stop:
            if monotonic() >= deadline or (isinstance(stop, Refusal) and stop.status < 500):
                raise
        pace.rest()


def _mark(run: Run | None) -> Any:
    """What tells that a run has moved on."""
    return None if run is None else (run["status"], len(run["journal"]))
