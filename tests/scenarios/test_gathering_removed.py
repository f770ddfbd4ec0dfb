"""An event that is delivered again after a deploy took its debounce or batch away starts no second run."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Batch, Context, Debounce
from tidemill.engine.drive.begin import arrive
from tidemill.engine.intake import receive
from tidemill.engine.intake.start import begin
from tidemill.model import Event
from tidemill.testing import Mill
from tidemill_local.testing.machine import EPOCH

FLOWS: list[dict[str, Any]] = [{"debounce": Debounce("1m")}, {"batch": Batch(10, "1m")}]


def deployed(**flow: Any) -> App:
    app = App("shop")

    @app.function(on="go", id="work", **flow)
    def work(ctx: Context) -> list[str]:
        return [event.id for event in ctx.events]

    return app


@pytest.mark.parametrize("backend", ["memory", "moto"])
@pytest.mark.parametrize("flow", FLOWS, ids=["debounce", "batch"])
@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_an_event_that_was_gathered_starts_no_run_of_its_own(flow: dict[str, Any], backend: str, ended: bool) -> None:
    before, after = deployed(**flow), deployed()
    first, second, third = (Event(f"e{n}", "go", {"n": n}, EPOCH, EPOCH) for n in (1, 2, 3))
    with Mill(before, backend=backend) as mill:
        world = mill._machine.world
        (old,), (new,) = ([each.spec for each in app.functions.values()] for app in (before, after))
        for event in (first, second):
            receive.store(world, event)
        run_id = begin(world, old, first).began
        assert run_id is not None
        assert begin(world, old, second).run_id == run_id
        if ended:
            mill.advance("2m")
        mill._machine.registry.replace([new], "2")
        for event in (first, second):
            assert begin(world, new, event, again=True).began is None
            assert arrive(world, new, event, "worker", EPOCH + 600_000, again=True) is None
            assert [head.run_id for head in world.runs.of_event(event.id)] == [run_id]
        receive.store(world, third)
        fresh = begin(world, new, third, again=True)
        assert fresh.began not in (None, run_id), "an event in no run yet starts its own"
