"""A short simulation in every test run, and the proof that it sees: mutants of the protocol must be caught.

`make simulate SEEDS=…` runs it long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from simulation import layers
from simulation.scenario import make
from simulation.worlds import check

from tidemill.core import graph, next_action
from tidemill.core.journal import Ended, Record, Suspended
from tidemill.core.state import fold
from tidemill.engine.drive import claim as opening
from tidemill.engine.drive import keeper as keep
from tidemill.engine.drive import remote_attempt as handed
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.runs import end as finish
from tidemill.engine.runs import match_waits
from tidemill.model import Event, Head, HeadChange, Wait
from tidemill.ports import Appended, Lost, World
from tidemill_local.store.runs import SqliteRuns

SEEDS = {"local": 400, "sync": 297, "aws": 300, "moto": 3}
# Each showed a mistake; LAID with layers over it.
FOUND = {"local": (151, 506, 577, 677, 1095, 1393, 1957, 2193, 4152, 5197), "aws": (139, 741, 3267, 3846)}
LAID = {
    "local": (7, 71, 135, 305, 333, 1184, 1286, 1571, 1609, 2220, 2357, 2961),
    "sync": (71, 141, 788, 2010, 3723, 4196),
    "aws": (71, 227, 349, 1711),
}
# By world: seeds that show what is not mended yet, and what.
OPEN: dict[str, dict[int, str]] = {}
SLICES = 8
_TRIED = 1_000  # seeds at most, until a mutant is caught
PARTS = [(world, part) for world in SEEDS for part in range(min(SLICES, SEEDS[world]))]


@pytest.mark.parametrize(("world", "part"), PARTS)
def test_seeds_hold(world: str, part: int) -> None:
    for seed in range(part, SEEDS[world], SLICES):
        if seed in OPEN.get(world, {}):
            continue
        assert check(layers.make(seed, world), world) == [], f"see it with: make simulate WORLD={world} SEED={seed}"


@pytest.mark.parametrize(("world", "seed"), [(world, seed) for world, seeds in FOUND.items() for seed in seeds])
def test_what_was_found_stays_mended(world: str, seed: int) -> None:
    assert check(make(seed), world) == []


@pytest.mark.parametrize(("world", "seed"), [(world, seed) for world, seeds in LAID.items() for seed in seeds])
def test_what_layers_found_stays_mended(world: str, seed: int) -> None:
    assert check(layers.make(seed, world), world) == []


def without_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Executors take no notice of each other's claims, and lose nothing by them."""
    monkeypatch.setattr(opening, "next_action", _ignoring_claims)


def _ignoring_claims(*args: Any) -> next_action.Action:
    state, head, spec, _, now = args
    return next_action.next_action(state, head, spec, False, now)


def without_condition_on_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    """`suspended` is appended at whatever number is free: an event that came in between is slept through."""
    append = SqliteRuns.append

    def careless(
        self: SqliteRuns, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        if isinstance(records[-1], Suspended):
            seq = len(self.read(run_id))
        return append(self, run_id, seq, records, change)

    monkeypatch.setattr(SqliteRuns, "append", careless)


def head_closed_before_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is closed with the `ended` record, and what follows from the end comes after it."""

    def end(
        self: keep.StoreKeeper, head: Head, seq: int, records: Sequence[Record], _: Ended, change: HeadChange
    ) -> Appended | Lost:
        found = self._world.runs.append(head.run_id, seq, records, change)
        if isinstance(found, Appended):
            self._world.runs.change(head.run_id, HeadChange(change.status, due=self._world.clock.now()))
            self._world.runs.change(head.run_id, change)
            _effects_only(self._world, head.run_id)
        return found

    monkeypatch.setattr(keep.StoreKeeper, "_end", end)


def _effects_only(world: World, run_id: str) -> None:
    head = world.runs.head(run_id)
    if head is not None:
        state = fold(world.runs.read(run_id))
        if state.terminal is not None:
            world.waits.drop(run_id)
            finish._tell_parent(world, head, state.terminal)
            finish._announce(world, head, state)


def write_without_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait is registered, and does not look back: an event that came before it is missed."""

    def wait(self: keep.StoreKeeper, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]) -> None:
        match_waits.register(self._world, waits)

    monkeypatch.setattr(keep.StoreKeeper, "wait", wait)


def look_then_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait looks back first and is registered a while later: an event in between is missed by both sides."""

    def wait(
        self: keep.StoreKeeper, waits: Sequence[Wait], taken: Sequence[tuple[str, str]]
    ) -> tuple[Wait, Event] | None:
        found = match_waits.oldest(self._world, waits, set(taken))
        for _ in range(10):  # each a call to the store: a while in which others take their turns
            self._world.events.paths(waits[0].name)
        match_waits.register(self._world, waits)
        if found is not None:
            self._world.waits.drop(found[0].run_id, found[0].key)
        return found

    monkeypatch.setattr(keep.StoreKeeper, "wait", wait)


def handed_over_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was handed over is begun again where somebody else writes before the run is suspended."""

    def taken_up(live: LiveRun, key: str, attempt: int) -> Any:
        live.elsewhere.clear()
        return known(live, key, attempt)

    known = handed.taken_up
    monkeypatch.setattr(handed, "taken_up", taken_up)


def joins_that_run_on_any_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step runs when the first of its edges has been taken, whatever its join says."""
    settled = graph._settled
    monkeypatch.setattr(graph, "_settled", lambda _, edges: settled("any", edges))


Mutant = Callable[[pytest.MonkeyPatch], None]

# Each with a seed that was seen to catch it: it is tried first, and where it no longer does, all seeds are searched.
MUTANTS: dict[Mutant, int] = {
    without_claims: 0,
    without_condition_on_suspended: 65,
    head_closed_before_effects: 3,
    write_without_look: 0,
    look_then_write: 63,
    handed_over_and_forgotten: 435,
    joins_that_run_on_any_edge: 0,
}


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_mutants_of_the_protocol_are_caught(mutate: Mutant) -> None:
    for seed in (MUTANTS[mutate], *range(_TRIED)):
        with pytest.MonkeyPatch.context() as monkeypatch:
            mutate(monkeypatch)
            problems = check(make(seed))
        assert not any(problem.startswith("the engine raised") for problem in problems), problems
        if problems:
            return
    pytest.fail(f"{_TRIED} seeds did not notice: {mutate.__doc__}")
