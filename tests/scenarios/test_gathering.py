"""Debounce and batch where they meet bursts, other features, reloads, and events whose `ts` lies ahead."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Batch, Concurrency, Context, Debounce, Singleton, Throttle
from tidemill.core.journal import Gathered
from tidemill.engine.intake import start
from tidemill.limits import DEBOUNCE_EVENTS, DROPPED_EVENTS


def _app(**flow: Any) -> App:
    app = App("shop")

    @app.function(on="go", **flow)
    def work(ctx: Context) -> list[Any]:
        if seconds := ctx.event.data.get("lasts"):
            ctx.step.sleep("work", seconds)
        return [event.data["n"] for event in ctx.events]

    @app.function(on="many")
    def sender(ctx: Context) -> None:
        ctx.step.send_event("all", [{"name": "go", "data": {"n": n}} for n in range(ctx.event.data["count"])])

    return app


def _events(count: int, **data: Any) -> list[dict[str, Any]]:
    return [{"name": "go", "data": {"n": n, **data}} for n in range(count)]


def _outputs(mill: Any) -> list[Any]:
    """Of the runs that began, in the order of their births."""
    runs = sorted(mill.runs("shop.work"), key=lambda run: run.created_at)
    return [run.output for run in runs if run.status != "skipped"]


def test_more_events_in_one_request_than_a_batch_holds(serve):
    with serve(_app(batch=Batch(10, "2s"))) as mill:
        mill.send(_events(23))
        mill.advance("3s")
        assert sorted(map(len, _outputs(mill))) == [3, 10, 10]


def test_more_single_requests_at_once_than_a_batch_holds(serve):
    with serve(_app(batch=Batch(50, "2s"))) as mill:
        for event in _events(60):
            mill.send([event])
        mill.advance("3s")
        assert sorted(map(len, _outputs(mill))) == [10, 50]


def test_more_events_in_one_send_event_than_a_batch_holds(serve):
    with serve(_app(batch=Batch(10, "2s"))) as mill:
        mill.send("many", {"count": 11})
        mill.advance("3s")
        assert sorted(map(len, _outputs(mill))) == [1, 10]


@pytest.mark.parametrize(
    "other", [{"concurrency": Concurrency(1, counts="runs")}, {"throttle": Throttle(1, "5s")}], ids=["places", "turns"]
)
def test_an_event_that_comes_while_its_window_waits_to_begin_opens_the_next(serve, other):
    with serve(_app(debounce=Debounce("1s"), **other)) as mill:
        for n in range(3):
            mill.send("go", {"n": n, "lasts": 5})
            mill.advance("2500ms")
        mill.advance("1m")
        assert _outputs(mill) == [[0], [1], [2]]
    with serve(_app(batch=Batch(2, "1s"), **other)) as mill:
        mill.send(_events(7, lasts=5))
        mill.advance("1m")
        assert sorted(map(len, _outputs(mill))) == [1, 2, 2, 2]


def test_a_reload_that_makes_batches_smaller_or_larger(serve):
    with serve(_app(batch=Batch(10, "5s"))) as mill:
        mill.send(_events(5))
        mill.reload(_app(batch=Batch(3, "5s")))
        mill.send(_events(1))
        assert sorted(map(len, filter(None, _outputs(mill)))) == [5], "what is more than full begins at once"
        mill.reload(_app(batch=Batch(10, "5s")))
        mill.send(_events(2))
        mill.advance("6s")
        assert sorted(map(len, _outputs(mill))) == [3, 5]


def test_a_full_batch_whose_last_event_lies_in_the_future(serve):
    with serve(_app(batch=Batch(2, "2s"))) as mill:
        later = int(mill.now.timestamp() * 1_000) + 3_600_000
        sent = mill.send([{"name": "go", "data": {"n": 0}}, {"name": "go", "data": {"n": 1}, "ts": later}])
        first, second = sent.runs
        assert (second.status, second.reason) == ("scheduled", "its event lies in the future")
        mill.advance("3s")
        assert first.output == [0]
        mill.advance("1h")
        assert second.output == [1]
        assert second.started_at.timestamp() * 1_000 >= later + 2_000, "its window opened at its ts"


def test_tomorrow_then_now_in_a_batch(serve):
    with serve(_app(batch=Batch(2, "2s"))) as mill:
        later = int(mill.now.timestamp() * 1_000) + 86_400_000
        mill.send([{"name": "go", "data": {"n": "tomorrow"}, "ts": later}, {"name": "go", "data": {"n": "now"}}])
        mill.advance("3s")
        assert sorted(filter(None, _outputs(mill))) == [["now"]]
        mill.advance("24h")
        assert sorted(_outputs(mill)) == [["now"], ["tomorrow"]]


def test_a_delayed_event_joins_the_window_that_is_open_at_its_time(serve):
    with serve(_app(debounce=Debounce("5s", timeout="1m"))) as mill:
        later = int(mill.now.timestamp() * 1_000) + 3_600_000
        delayed = mill.send([{"name": "go", "data": {"n": "late"}, "ts": later}]).run()
        mill.advance("3599s")
        run = mill.send("go", {"n": "early"}).run()
        mill.advance("2s")
        assert (delayed.status, run.status) == ("skipped", "scheduled")
        assert delayed.reason == f"its event, which lay in the future, has joined run {run.run_id} (debounce)"
        assert len(run.event_ids) == 2
        mill.advance("5s")
        assert run.output == ["late"], "it took effect last"


def test_a_debounce_does_not_wait_for_an_event_of_tomorrow(serve):
    with serve(_app(debounce=Debounce("5s", timeout="1m"))) as mill:
        later = int(mill.now.timestamp() * 1_000) + 86_400_000
        run = mill.send("go", {"n": 0}).run()
        mill.send([{"name": "go", "data": {"n": 1}, "ts": later}])
        mill.advance("6s")
        assert run.output == [0]


def test_a_debounced_run_never_cancels_itself(serve):
    with serve(_app(debounce=Debounce("1s"), singleton=Singleton("cancel"))) as mill:
        for n in range(4):
            mill.send("go", {"n": n, "lasts": 3})
            mill.advance("700ms")
        mill.advance("1s")
        mill.send("go", {"n": 9})
        mill.advance("10s")
        assert [run.status for run in sorted(mill.runs("shop.work"), key=lambda r: r.created_at)] == [
            "cancelled",
            "completed",
        ]
        assert _outputs(mill)[-1] == [9]


def test_a_debounce_that_is_never_quiet_keeps_its_last_event_only(serve):
    with serve(_app(debounce=Debounce("5s"))) as mill:
        count = 3 * DROPPED_EVENTS + 7
        for n in range(count):
            mill.send("go", {"n": n})
            mill.advance("1s")
        run = mill.run("shop.work")
        world = mill._machine.world
        kept = [r for r in world.runs.read(run.run_id) if isinstance(r, Gathered) and r.event is not None]
        assert len(kept) <= DROPPED_EVENTS + 1
        assert len(run.event_ids) == DEBOUNCE_EVENTS
        opened = world.runs.open(run.run_id)
        assert opened is not None
        assert len(opened[1]) <= DROPPED_EVENTS, "what is read when it begins"
        mill.advance("6s")
        assert run.output == [count - 1]


def _again(mill: Any, n: Any) -> None:
    mill.send([{"name": "go", "id": "x", "data": {"n": n}}])


@pytest.mark.parametrize(
    ("flow", "output"),
    [({"debounce": Debounce("30h")}, [2]), ({"batch": Batch(9, "30h")}, [0, 1, 2])],
    ids=["debounce", "batch"],
)
def test_an_id_comes_again_after_its_memory_while_its_first_event_still_gathers(serve, flow, output):
    with serve(_app(**flow)) as mill:
        _again(mill, 0)
        mill.send("go", {"n": 1})
        mill.advance("25h")
        _again(mill, 2)
        (run,) = mill.runs("shop.work")
        assert len(run.event_ids) == 2, "each id once"
        assert run.event_ids[-1] == "x"
        mill.advance("31h")
        assert run.output == output
        world = mill._machine.world
        assert [head.run_id for head in world.runs.of_event("x")] == [run.run_id]


def test_a_batch_of_one_id_alone_gives_its_parts_both_events(serve):
    app = App("shop")

    @app.function(on="go", batch=Batch(2, "30h"))
    def work(ctx: Context) -> list[Any]:
        return ctx.step.map("each", lambda i: [event.data["n"] for event in ctx.events], [0])

    with serve(app) as mill:
        _again(mill, 0)
        mill.advance("25h")
        _again(mill, 1)
        assert mill.run("shop.work").output == [[0, 1]]


def test_an_id_comes_again_after_a_debounce_has_dropped_its_first_event(serve):
    with serve(_app(debounce=Debounce("1h"))) as mill:
        _again(mill, "first")
        old = mill._machine.world.events.get("x")
        for n in range(DROPPED_EVENTS + 5):
            mill.advance("30m")
            mill.send("go", {"n": n})
        (run,) = mill.runs("shop.work")
        world, spec = mill._machine.world, mill._machine.world.registry.function("shop.work")
        assert start.begin(world, spec, old).began is None, "its message comes again: it is in the run"
        assert run.event_ids[-1] != "x"
        _again(mill, "again")
        assert run.event_ids[-1] == "x"
        mill.advance("2h")
        assert run.output == ["again"]
        assert start.begin(world, spec, old).began is None, "its message comes again after the run began"
        assert len(mill.runs("shop.work")) == 1
