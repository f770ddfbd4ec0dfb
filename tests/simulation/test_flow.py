"""The proof that the simulation sees flow control: mutants of it must be caught, each by an invariant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from simulation import layers
from simulation.scenario import make
from simulation.worlds import check

from tidemill.core.flow import collect as gather
from tidemill.core.flow import rate, throttle
from tidemill.core.journal import Gathered, Record
from tidemill.engine.drive import keeper as keep
from tidemill.engine.intake import admit
from tidemill.engine.runs import concurrency as held
from tidemill.model import Event, HeadChange, Place
from tidemill.ports import Appended, Lost, World
from tidemill_local.store.flow import SqliteFlow
from tidemill_local.store.runs import SqliteRuns

SEEDS = range(1, 1_200, 2)  # those with flow control
CROWDED = 100  # with the layer of that name


def one_place_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of n is n + 1."""
    take = SqliteFlow.take

    def generous(self: SqliteFlow, place: Place, *args: Any, **known: bool) -> bool:
        return take(self, Place(place.key, place.limit + 1, place.counts, place.label), *args, **known)

    monkeypatch.setattr(SqliteFlow, "take", generous)


def a_late_release_frees_a_newer_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives up a place does not say under which claim it held it."""
    pass_on = held._pass_on

    def careless(world: World, place: Place, run_id: str, upto: int | None, rank: int | None = None) -> None:
        pass_on(world, place, run_id, None if upto is None else 10**9, rank)

    monkeypatch.setattr(held, "_pass_on", careless)


def the_end_frees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends keeps its places."""
    monkeypatch.setattr(held, "leave", lambda world, head, state, gone: None)


def the_step_frees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is given to the first in line before its holder has left it."""

    def early(self: keep.StoreKeeper, head: Any, seq: int, records: Any, change: Any = None) -> Any:
        held.pause(self._world, head, seq)
        return append(self, head, seq, records, change)

    append = keep.StoreKeeper.append
    monkeypatch.setattr(keep.StoreKeeper, "append", early)


def every_turn_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttle that does not count."""
    monkeypatch.setattr(throttle, "begins", lambda spent, limit, period, burst: 0)
    monkeypatch.setattr(SqliteFlow, "begin", lambda self, key, run_id, turn, now, limit: None)


def the_rate_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate limit that lets one more through."""
    monkeypatch.setattr(rate, "admits", lambda starts, now, limit, period: len(starts) <= limit)
    monkeypatch.setattr(SqliteFlow, "count", _generous_count)


def _generous_count(self: SqliteFlow, key: str, run_id: str, now: int, limit: int, period: int) -> bool:
    return _count(self, key, run_id, now, limit + 1, period)


_count = SqliteFlow.count


def the_first_event_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A debounce gives the code its first event."""

    def given(events: Sequence[Event], last: bool) -> tuple[Event, ...]:
        return tuple(sorted(events, key=lambda event: event.received_at)[: 1 if last else None])

    monkeypatch.setattr(gather, "given", given)


def a_batch_is_joined_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is put into a batch that has begun: whatever number is free is taken for it."""
    append = SqliteRuns.append

    def careless(
        self: SqliteRuns, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None
    ) -> Appended | Lost:
        if isinstance(records[0], Gathered):
            return append(self, run_id, len(self.read(run_id)), records, None)
        return append(self, run_id, seq, records, change)

    monkeypatch.setattr(SqliteRuns, "append", careless)


def a_key_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idempotency key that nobody keeps."""
    monkeypatch.setattr(SqliteFlow, "first", lambda self, key, run_id, now, until: run_id)


def nobody_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A singleton that does not look who is there."""
    monkeypatch.setattr(held, "take_singleton", lambda world, head, place, token: None)


def begun_before_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttled run does not wait for its slot."""
    record = admit._record

    def hasty(world: World, head: Any, state: Any, spec: Any, decision: Any, now: int) -> bool:
        told = record(world, head, state, spec, decision, now)
        if head.not_before is not None and getattr(decision, "begin", None) is not None:
            world.runs.change(head.run_id, HeadChange("scheduled", now, not_before=now))
        return told

    monkeypatch.setattr(admit, "_record", hasty)


MUTANTS: list[Callable[[pytest.MonkeyPatch], None]] = [
    one_place_more,
    the_end_frees_nothing,
    the_step_frees_nothing,
    every_turn_is_now,
    the_rate_is_not_counted,
    the_first_event_wins,
    a_batch_is_joined_late,
    a_key_twice,
    nobody_is_alone,
    begun_before_its_turn,
]


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_mutants_of_flow_control_are_caught(mutate: Callable[[pytest.MonkeyPatch], None]) -> None:
    for seed in SEEDS:
        with pytest.MonkeyPatch.context() as monkeypatch:
            mutate(monkeypatch)
            problems = check(make(seed))
        assert not any(problem.startswith("the engine raised") for problem in problems), problems
        if problems:
            return
    pytest.fail(f"{len(SEEDS)} seeds did not notice: {mutate.__doc__}")


def test_a_late_release_that_frees_a_newer_claim_is_caught() -> None:
    """It takes a process that stands still between its `suspended` and giving up the place, and a run in line."""
    for seed in range(CROWDED):
        with pytest.MonkeyPatch.context() as monkeypatch:
            a_late_release_frees_a_newer_claim(monkeypatch)
            problems = check(layers.make(seed, only="crowded"))
        if any("ran at a time under" in problem for problem in problems):
            return
    pytest.fail(f"{CROWDED} seeds did not notice: {a_late_release_frees_a_newer_claim.__doc__}")
