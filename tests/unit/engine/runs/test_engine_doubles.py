"""Messages that come twice, late, or between two writes: what the engine makes of them, on its own stores."""

from __future__ import annotations

import msgspec
import pytest

from tidemill import App, CancelOn, Context, Timeouts, values
from tidemill.core.journal import Ended, Started
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import receive, start
from tidemill.engine.intake.rerun import rerun
from tidemill.engine.runs.ids import chunk_id
from tidemill.limits import DAY, EVENT_ID_MEMORY
from tidemill.model import Event, Head, Parent
from tidemill.testing import Mill


@pytest.fixture
def app() -> App:
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[str]:
        return [ctx.step.wait_for_event(f"w{n}", "call").id for n in range(2)]

    @app.function(on="many")
    def many(ctx: Context) -> list[int]:
        return ctx.step.map("m", lambda n: n, [1, 2, 3])

    return app


def test_an_event_told_again_does_not_take_away_a_later_wait(app):
    with Mill(app) as mill:
        world = mill._machine.world
        run = mill.send("go").run()
        mill.send("call", id="1")
        event = world.events.get("1")
        assert event is not None
        receive.receive(world, event)  # the message comes again, when another wait for the same is there
        assert run.step("w1").status == "waiting"
        mill.send("call", id="2")
        assert run.output == ["1", "2"]


def test_a_part_that_has_ended_counts_though_its_head_is_not_closed_yet(app):
    """Between `its parent told` and `head closed` the parent may already gather its parts."""
    with Mill(app) as mill:
        world = mill._machine.world
        event = Event("e", "go", {}, 1, 1)
        parent = Parent("r1", "shop.many", "m", 0, 1)
        head = Head(chunk_id("r1", "m", 0), "shop.many", "running", 1, 2, parent=parent)
        ended = Ended(3, "completed", values.encode([{"value": 7}], "result"))
        world.runs.create(head, [Started(1, "shop.many", (event,), parent=parent), ended])
        keeper = StoreKeeper(world)
        assert keeper.chunks("r1", "m", 1) == [ended]
        assert keeper.chunks("r1", "m", 2) == [ended], "one of the two is not there"


def test_a_part_of_a_map_is_not_run_again_by_itself(app):
    with Mill(app) as mill:
        run = mill.send("many").run()
        assert run.output == [1, 2, 3]
        with pytest.raises(LookupError, match="part of a map"):
            rerun(mill._machine.world, chunk_id(run.id, "m", 0))


def test_an_id_starts_once_in_its_memory_whichever_message_comes_again_and_whenever(app):
    with Mill(app) as mill:
        world = mill._machine.world
        spec = world.registry.function("shop.many")
        assert spec is not None
        now = world.clock.now()
        event = Event("daily", "many", {}, now, now)
        days = [msgspec.structs.replace(event, received_at=now + day * (EVENT_ID_MEMORY + 1)) for day in range(4)]
        first = [start.begin(world, spec, each).began for each in days]
        assert len(set(first)) == 4
        assert None not in first
        soon = [msgspec.structs.replace(each, received_at=each.received_at + DAY // 2) for each in days]
        for each in [*days[::-1], *soon, *days]:
            assert start.begin(world, spec, each).began is None


def test_an_old_id_that_comes_again_leaves_what_cancels_the_older_run():
    app = App("shop")

    @app.function(on="go", cancel_on=CancelOn("stop", match="data.order"))
    def work(ctx: Context) -> None:
        ctx.step.sleep("s", "30d")

    with Mill(app) as mill:
        world = mill._machine.world
        run = mill.send("go", {"order": 1}, id="e").run()
        mill.advance("2d")
        spec, event = world.registry.function("shop.work"), world.events.get("e")
        assert spec is not None
        assert event is not None
        for _ in range(2):  # the message comes twice
            later = msgspec.structs.replace(event, data={"order": 2}, received_at=world.clock.now())
            start.begin(world, spec, later)
        waits = mill._machine.stores.db.rows("SELECT run_id FROM wait")
        assert len(waits) == 2, "each of the two runs has its own"
        mill.send("stop", {"order": 1})
        assert run.status == "cancelled"
        ((again,),) = mill._machine.stores.db.rows("SELECT run_id FROM wait")
        mill.send("stop", {"order": 2})
        ended = world.runs.head(again)
        assert ended is not None
        assert ended.status == "cancelled"


def test_waits_whose_time_has_run_out_do_not_pile_up():
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        for _ in range(5):
            ctx.step.wait_for_event("w", "call", timeout="1m")

    with Mill(app) as mill:
        run = mill.send("go").run()
        mill.advance("3m 30s")
        assert run.status == "waiting"
        assert mill._machine.stores.db.rows("SELECT key FROM wait") == [("w:3",)]


def test_a_finish_timeout_counts_while_code_runs():
    app, done = App("shop"), []

    def slow(name: str) -> None:
        mill._machine.clock.time += 4_000
        done.append(name)

    @app.function(on="go", timeouts=Timeouts(finish="5s"))
    def work(ctx: Context) -> None:
        for name in "abc":
            ctx.step.run(name, slow, name)

    with Mill(app) as mill:
        run = mill.send("go").run()
    assert (run.status, run.reason) == ("cancelled", "it did not end within its finish timeout")
    assert done == ["a", "b"], "the first append after the timeout is the last"


def test_an_end_that_comes_after_the_finish_timeout_is_a_cancelled_run():
    app = App("shop")

    @app.function(on="go", timeouts=Timeouts(finish="5s"))
    def work(ctx: Context) -> str:
        mill._machine.clock.time += 5_000
        return "too late"

    with Mill(app) as mill:
        run = mill.send("go").run()
    assert (run.status, run.output) == ("cancelled", None)
