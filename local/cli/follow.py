"""Follows runs to their end, step by step, with few requests.

It polls a run after 20 ms, and ever later while nothing changes, up to half a second: the end of a short run is seen
at once, and a run that sleeps for a week costs two small requests a second.
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
_PATIENCE = 15.0  # seconds that a server may be away during a restart
_APPEARS = 3.0  # seconds: on a remote server an event and its runs appear a little later


class Screen(Protocol):
    """Displays the runs while they proceed."""

    def show(self, runs: list[Run]) -> None: ...

    def close(self, runs: list[Run]) -> None: ...


class Pace:
    """The pause before the next poll."""

    def __init__(self) -> None:
        self._rest = _SOONEST

    def changed(self) -> None:
        self._rest = _SOONEST

    def rest(self, cost: float = 0.0) -> None:
        """`cost`: seconds that the last poll took; a slow poll is not repeated at once."""
        sleep(max(self._rest, min(4 * cost, _LATEST)))
        self._rest = min(self._rest * _SLOWER, _LATEST)


def of_event(api: Api, event_id: str, pace: Pace) -> list[str]:
    """The runs that an event started, oldest first."""
    deadline = monotonic() + (0 if api.local else _APPEARS)
    while True:
        try:
            runs: list[Run] = patiently(api, event_path(event_id, "/runs"), pace)
        except Refusal as refusal:
            if refusal.status != 404 or monotonic() >= deadline:
                raise
            runs = []
        if runs or monotonic() >= deadline:
            return [run["run_id"] for run in runs]
        pace.rest()


def follow(api: Api, run_ids: list[str], screen: Screen, pace: Pace) -> list[Run]:
    """Show these runs until all have ended, and return their final state."""
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
    """Poll every run that has not ended; once per yield."""
    open_ = list(run_ids)
    while open_:
        before = monotonic()
        for run_id in open_:
            now: Run = patiently(api, f"/v1/runs/{part(run_id)}", pace)
            if _mark(now) != _mark(runs.get(run_id)):
                pace.changed()
            runs[run_id] = now
        yield
        open_ = [run_id for run_id in open_ if runs[run_id]["status"] not in ENDED]
        if open_:
            pace.rest((monotonic() - before) / len(open_))


def patiently(api: Api, path: str, pace: Pace) -> Any:
    """Call the server, with retries while it restarts."""
    deadline = monotonic() + _PATIENCE
    while True:
        try:
            return api.get(path)
        except (Unreachable, Refusal) as stop:
            if monotonic() >= deadline or (isinstance(stop, Refusal) and stop.status < 500):
                raise
        pace.rest()


def _mark(run: Run | None) -> Any:
    """The fields that show whether a run has changed."""
    return None if run is None else (run["status"], len(run["journal"]))
