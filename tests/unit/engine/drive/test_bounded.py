"""What the engine does where others are always faster: each loop of the protocol ends, and says of which run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import pytest

from tidemill import App, Batch, Context
from tidemill.core.journal import Gathered, Record, Resolved, Started
from tidemill.engine.drive.claim import open_run
from tidemill.engine.intake import start
from tidemill.engine.runs import concurrency as places
from tidemill.engine.runs.end import cancel
from tidemill.errors import Unavailable
from tidemill.model import Event, Head, HeadChange, Place
from tidemill.ports import APPENDED, World
from tidemill.testing import Mill

NOW = 1_767_225_600_000


class Crowded:
    """A run store before whose every append another one is faster: with a record that changes nothing."""

    def __init__(self, runs: Any) -> None:
        self._runs = runs

    def append(self, run_id: str, seq: int, records: Sequence[Record], change: HeadChange | None = None) -> Any:
        assert self._runs.append(run_id, seq, [Resolved(f"nobody{seq}", NOW)]) == APPENDED
        return self._runs.append(run_id, seq, records, change)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self._runs, name)


def _world(mill: Mill) -> World:
    return mill._machine.world


def _waiting() -> App:
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.step.wait_for_event("w", "call")

    return app


def test_a_cancel_and_a_claim_to_which_others_are_always_faster():
    with Mill(_waiting()) as mill:
        run = mill.send("go").run()
        crowded = replace(_world(mill), runs=Crowded(_world(mill).runs))
        with pytest.raises(Unavailable, match=run.run_id):
            cancel(crowded, run.run_id, "why")
        with pytest.raises(Unavailable, match=run.run_id):
            open_run(crowded, run.run_id, "me", NOW + 1_000_000)
        assert run.cancel(), "nothing is lost: it is done by who comes next"


def test_an_event_that_finds_every_window_full():
    """Each window that it finds has just been filled by others; a message comes again, and nothing spins."""
    app = App("shop")

    @app.function(on="go", batch=Batch(2, "5s"))
    def work(ctx: Context) -> None: ...

    with Mill(app) as mill:
        world = _world(mill)
        spec = world.registry.functions()[0]

        class Filled:
            def __getattr__(self, name: str) -> Callable[..., Any]:
                return getattr(world.runs, name)

            def append(self, run_id: str, seq: int, records: Sequence[Record], change: Any = None) -> Any:
                if isinstance(records[0], Gathered):
                    other = Event(f"{run_id}-{seq}", "go", {}, NOW, NOW)
                    world.runs.append(run_id, seq, [Gathered(NOW, other, full=True)])
                return world.runs.append(run_id, seq, records, change)

            def create(self, head: Head, records: Sequence[Record]) -> bool:
                first = Event(f"{head.run_id}-0", "go", {}, NOW, NOW)
                started = msgspec.structs.replace(cast("Started", records[0]), events=(first,))
                world.runs.create(msgspec.structs.replace(head, event_ids=(first.id,)), [started])
                return False

        full = replace(world, runs=Filled())
        event = Event("e", "go", {}, NOW, NOW)
        with pytest.raises(Unavailable, match="event e found 25 runs"):
            start.begin(full, spec, event)
        assert start.begin(world, spec, event).began


def test_a_singletons_place_that_its_own_run_holds_under_a_later_number():
    """A decision by what was read before another event came: it must not have the run cancel itself."""
    with Mill(_waiting()) as mill:
        world = _world(mill)
        run = mill.send("go").run()
        head = world.runs.head(run.run_id)
        assert head is not None
        place = Place("s/k", 1, "runs")
        assert places.take_singleton(world, head, place, 9) is None
        assert places.take_singleton(world, head, place, 5) is None
