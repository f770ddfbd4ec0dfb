"""An event whose message comes twice is in one run, though the second delivery stands still where it hurts most."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Batch, Context, Debounce
from tidemill.engine.intake import collect
from tidemill.model import Event
from tidemill.testing import Mill
from tidemill_local.testing.machine import EPOCH


@pytest.mark.parametrize("backend", ["memory", pytest.param("moto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("flow", [{"debounce": Debounce("10s")}, {"batch": Batch(2, "1m")}], ids=str)
def test_the_other_delivery_has_put_it_into_a_run_that_has_ended_since(flow: dict[str, Any], backend: str) -> None:
    """Found by the simulation (seed 151, long stalls): the window was read, then the process stood still."""
    app = App("shop")

    @app.function(on="go", **flow)
    def work(ctx: Context) -> list[str]:
        return [event.id for event in ctx.events]

    with Mill(app, backend=backend) as mill:
        run = mill.send("go", id="first").run(work)
        world, spec = mill._machine.world, work.spec
        event = Event("second", "go", {}, EPOCH, mill._machine.clock.now())
        read = world.flow.window

        def stands_still(key: str) -> Any:
            found = read(key)
            world.flow.window = read  # type: ignore[method-assign]
            assert collect.take_in(world, spec, event) == (run.id, False)
            mill.advance("11s")
            assert run.status == "completed"
            return found

        world.flow.window = stands_still  # type: ignore[method-assign]
        assert collect.take_in(world, spec, event) == (run.id, False)
        mill.advance("2m")
        assert [each.id for each in mill.runs(work)] == [run.id]
        assert mill.send("go", id="third").run(work).id != run.id


@pytest.mark.parametrize("backend", ["memory", pytest.param("moto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("flow", [{"debounce": Debounce("10s")}, {"batch": Batch(2, "1m")}], ids=str)
def test_the_other_delivery_goes_where_this_one_will(flow: dict[str, Any], backend: str) -> None:
    """Found by the simulation (seed 1095, long stalls): the window was its own, its run was yet to be born."""
    app = App("shop")

    @app.function(on="go", **flow)
    def work(ctx: Context) -> list[str]:
        return [event.id for event in ctx.events]

    with Mill(app, backend=backend) as mill:
        world, spec = mill._machine.world, work.spec
        event = Event("twice", "go", {}, EPOCH, mill._machine.clock.now())
        agreed = world.flow.first
        others: list[str] = []

        def stands_still(*asked: Any) -> str:
            world.flow.first = agreed  # type: ignore[method-assign]
            others.append(mill.send("go", id="other").run(work).id)
            assert collect.take_in(world, spec, event) == (others[0], False)
            return agreed(*asked)

        world.flow.first = stands_still  # type: ignore[method-assign]
        assert collect.take_in(world, spec, event) == (others[0], False)
        mill.advance("2m")
        assert [each.id for each in mill.runs(work)] == others
