"""A run whose limits a deploy has changed leaves the lines that it stood in, whatever comes between two writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tidemill import App, Concurrency, Context
from tidemill.core.journal import Admitted, Claimed
from tidemill.engine.drive.claim import attend, open_run
from tidemill.engine.intake.start import start
from tidemill.engine.runs import end
from tidemill.engine.runs.create import NewRun
from tidemill.errors import Unavailable
from tidemill.model import Event, FunctionSpec
from tidemill.ports import World
from tidemill.testing import Mill
from tidemill_local.testing.machine import EPOCH

UNTIL = EPOCH + 40_000


class _Lease:
    """Executors of which nobody knows more than their claims say."""

    def alive(self, claim: Claimed, now: int) -> bool:
        return now < claim.until


def _spec(*concurrency: Concurrency) -> FunctionSpec:
    app = App("shop")

    @app.function(on="go", **({"concurrency": list(concurrency)} if concurrency else {}))
    def work(ctx: Context) -> None: ...

    return work.spec


OTHER = _spec(Concurrency(1, key="event.data.user"))


@contextmanager
def _one_of_two() -> Iterator[tuple[World, str, str]]:
    """Two runs for one place, which the first one has: the world, and the ids of the two."""
    spec = _spec(Concurrency(1))
    with Mill(App("shop")) as mill:
        world = mill._machine.world
        world.registry.replace([spec], "1")  # type: ignore[attr-defined]
        first, second = (
            start(world, NewRun(spec, (Event(f"e{n}", "go", {"user": n}, EPOCH, EPOCH),))).began for n in (1, 2)
        )
        assert first is not None
        assert second is not None
        assert open_run(world, first, "first", UNTIL) is not None
        yield world, first, second


@contextmanager
def _in_line() -> Iterator[tuple[World, str, str]]:
    """One run has the only place, the other one stands in line for it: the world, the other's id, the line's key."""
    with _one_of_two() as (world, _, second):
        assert open_run(world, second, "second", UNTIL) is None
        head = world.runs.head(second)
        assert head is not None
        assert head.admission is not None
        (place,) = head.admission.places
        assert _line(world, place.key) == [second]
        yield world, second, place.key


def _line(world: World, key: str) -> list[str]:
    return [run_id for run_id, _ in world.flow.in_line(key)]


@pytest.mark.parametrize("spec", [OTHER, _spec()], ids=["another key", "no limit any more"])
def test_a_run_that_begins_under_other_limits_leaves_its_line(spec: FunctionSpec) -> None:
    with _in_line() as (world, run_id, key):
        world.registry.replace([spec], "2")  # type: ignore[attr-defined]
        assert open_run(world, run_id, "again", UNTIL) is not None
        assert _line(world, key) == []


def test_a_run_whose_process_dies_after_the_new_decision_has_left_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with _in_line() as (world, run_id, key):
        world.registry.replace([OTHER], "2")  # type: ignore[attr-defined]
        append = world.runs.append

        def last(of: str, seq: int, records: Any, *rest: Any) -> Any:
            append(of, seq, records, *rest)
            assert isinstance(records[0], Admitted)
            raise Unavailable("the process is gone")

        monkeypatch.setattr(world.runs, "append", last)
        with pytest.raises(Unavailable):
            open_run(world, run_id, "again", UNTIL)
        assert _line(world, key) == []


def test_a_delivery_that_comes_to_the_line_late_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw the limits of before; meanwhile another delivery has found the new ones."""
    with _in_line() as (world, run_id, key):
        park = world.flow.park

        def late(*asked: Any) -> Any:
            monkeypatch.setattr(world.flow, "park", park)
            world.registry.replace([OTHER], "2")  # type: ignore[attr-defined]
            assert open_run(world, run_id, "another", UNTIL) is not None
            return park(*asked)

        monkeypatch.setattr(world.flow, "park", late)
        assert open_run(world, run_id, "slow", UNTIL) is None
        assert _line(world, key) == []


def test_a_cancelled_run_whose_code_still_runs_keeps_its_place_when_it_is_looked_at() -> None:
    with _one_of_two() as (shared, first, second):
        world = replace(shared, liveness=_Lease())
        assert end.cancel(world, first, "enough")
        assert open_run(world, first, "another", UNTIL) is None
        assert attend(world, first)
        assert open_run(world, second, "second", UNTIL) is None
