"""What starts a function, when, and how often."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import BaseModel

from tidemill import App, Context, Cron, Event


class SignedUp(BaseModel):
    user_id: int


def names(mill) -> list[str]:
    return [run.function_id.removeprefix("shop.") for run in mill.runs()]


def test_each_function_that_listens_runs_on_its_own(serve):
    app, other = App("shop"), App("crm")

    @app.function(on="user/signed.up")
    def welcome(ctx: Context) -> str:
        return "hi"

    @app.function(on="user/signed.up", retries=0)
    def broken(ctx: Context) -> str:
        raise ValueError("no")

    @other.function(on="user/signed.up")
    def note(ctx: Context) -> str:
        return "noted"

    with serve(app, other) as mill:
        sent = mill.send("user/signed.up", {"user_id": "u1"})
        assert {run.function_id: run.status for run in sent.runs} == {
            "shop.welcome": "completed", "shop.broken": "failed", "crm.note": "completed",
        }  # fmt: skip
        assert sent.run(note).output == "noted"


def test_when_decides(serve):
    app = App("shop")

    @app.function(on=Event("video/uploaded", when="event.data.size > 10"))
    def large(ctx: Context) -> None: ...

    with serve(app) as mill:
        assert mill.send("video/uploaded", {"size": 10}).runs == []
        assert mill.send("video/uploaded", {}).runs == [], "where a path is missing, a condition is false"
        assert mill.send("video/uploaded", {"size": "large"}).runs == []
        assert len(mill.send("video/uploaded", {"size": 10.5}).runs) == 1
        assert len(mill.runs()) == 1


def test_several_triggers_start_once(serve):
    app = App("shop")

    @app.function(on=["a", "a*", Event("a/b", when="true"), Event("*")])
    def often(ctx: Context) -> str:
        return ctx.event.name

    with serve(app) as mill:
        assert [mill.send(name).run().output for name in ("a", "a/b", "ab", "z")] == ["a", "a/b", "ab", "z"]


def test_a_star_takes_what_begins_so_and_nothing_of_the_platforms(serve):
    app = App("shop")

    @app.function(on="order/*")
    def orders(ctx: Context) -> None: ...

    @app.function(on="*")
    def everything(ctx: Context) -> None: ...

    @app.function(on=Event("tidemill/function.*", when="event.data.function_id == 'shop.orders'"))
    def ends(ctx: Context) -> None: ...

    with serve(app) as mill:
        mill.send("order/placed")
        mill.send("orders")
        assert sorted(n for n in names(mill) if n != "ends") == ["everything", "everything", "orders"]
        assert "ends" in names(mill)


def test_an_event_that_nobody_listens_for_is_kept_and_starts_nothing_later(serve):
    app, more = App("shop"), App("shop")

    @more.function(on="lonely")
    def late(ctx: Context) -> None: ...

    with serve(app) as mill:
        sent = mill.send("lonely", {"a": 1})
        assert sent.runs == []
        assert mill.event(sent.id).data == {"a": 1}
        mill.reload(more)
        mill.advance("1d")
        assert mill.runs() == []


def test_an_event_in_the_future_delays_its_runs(serve):
    app = App("shop")

    @app.function(on="due")
    def due(ctx: Context) -> str:
        return "done"

    with serve(app) as mill:
        run = mill.send("due", ts=mill.now + timedelta(days=2)).run()
        assert run.status == "scheduled"
        assert run.reason
        mill.advance("1d23h")
        assert run.status == "scheduled"
        mill.advance("1h")
        assert run.output == "done"
        assert mill.send("due", ts=mill.now - timedelta(days=9)).run().output == "done"


def test_the_same_id_again_starts_nothing_for_a_day(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        return ctx.event.data

    with serve(app) as mill:
        first = mill.send("go", {"n": 1}, id="e1")
        again = mill.send("go", {"n": 2}, id="e1")
        assert again.ids == first.ids == ["e1"]
        assert again.runs == first.runs
        assert mill.event("e1").data == {"n": 1}, "the first content stands"
        mill.advance("23h59m")
        mill.send("go", {"n": 3}, id="e1")
        assert [run.output for run in mill.runs()] == [{"n": 1}]
        mill.advance("2m")
        mill.send("go", {"n": 4}, id="e1")
        assert [run.output for run in mill.runs()] == [{"n": 1}, {"n": 4}]


def test_the_ends_of_runs_are_announced_to_who_listens(serve):
    app, completion_order = App("shop"), []

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> str:
        if ctx.event.data.get("bad"):
            raise ValueError("bad")
        if ctx.event.data.get("long"):
            ctx.step.sleep("x", "1d")
        return "fine"

    @app.function(on=[Event("tidemill/function.*", when="event.data.function_id == 'shop.work'")])
    def listen(ctx: Context) -> None:
        data = ctx.event.data
        completion_order.append((ctx.event.name.removeprefix("tidemill/function."), data["status"], data["output"]))
        assert set(data) == {"function_id", "run_id", "status", "event", "output", "error"}

    with serve(app) as mill:
        mill.send("go")
        assert completion_order == [("finished", "completed", "fine")]
        completion_order.clear()
        mill.send("go", {"bad": 1})
        assert sorted(completion_order) == [("failed", "failed", None), ("finished", "failed", None)]
        completion_order.clear()
        mill.send("go", {"long": 1}).runs[0].cancel()
        assert sorted(completion_order) == [("cancelled", "cancelled", None), ("finished", "cancelled", None)]


def test_a_run_can_wait_for_another_to_end(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> str:
        ctx.step.sleep("x", "1h")
        raise ValueError("late")

    @app.function(on="go")
    def watch(ctx: Context) -> object:
        found = ctx.step.wait_for_event(
            "end", "tidemill/function.failed", when="async.data.function_id == 'shop.work'", timeout="1d"
        )
        return found and found.data["error"]["message"]

    with serve(app) as mill:
        run = mill.send("go").run(watch)
        mill.advance("1h")
        assert run.output == "late"


def test_cron_ticks_happen_in_order_with_everything_else(serve):
    app, seen = App("shop"), []

    @app.function(on=Cron("0 9 * * *", timezone="Europe/Paris"))
    def morning(ctx: Context) -> None:
        ctx.step.run("note", lambda: seen.append(("morning", ctx.event.name)))

    @app.function(on="go")
    def nap(ctx: Context) -> None:
        ctx.step.sleep("nap", "9h")
        ctx.step.run("note", lambda: seen.append(("woke", "")))

    with serve(app) as mill:
        mill.send("go")
        mill.advance("1d")
        assert seen == [("morning", "tidemill/scheduled.timer"), ("woke", "")], "8 and 9 o'clock in UTC"
        mill.set_time("2026-06-15T06:59:59")
        before = len(mill.runs(morning))
        mill.advance(seconds=1)
        assert len(mill.runs(morning)) == before + 1, "summer time"


def test_cron_with_jitter_and_other_triggers(serve):
    app = App("shop")

    @app.function(on=[Cron("*/5 * * * *", jitter="30m"), "go"])
    def often(ctx: Context) -> None: ...

    with serve(app) as mill:
        mill.send("go")
        mill.advance("1d")
        ticks = [run for run in mill.runs() if run.event.name == "tidemill/scheduled.timer"]
        assert 280 <= len(ticks) <= 288
        assert len({run.event.id for run in ticks}) == len(ticks)
        times = [run.created_at for run in ticks]
        assert times == sorted(times)
        assert len({(t.minute % 5, t.second) for t in times}) > 100


def test_an_event_for_a_model(serve):
    app = App("shop")

    @app.function(on=Event("user/signed.up", SignedUp))
    def welcome(ctx: Context[SignedUp]) -> int:
        return ctx.event.data.user_id + 1

    with serve(app) as mill:
        assert mill.send("user/signed.up", SignedUp(user_id=1)).run().output == 2
        bad = mill.send("user/signed.up", {"user_id": "x"}).run()
        assert (bad.status, bad.attempt) == ("failed", 1)
        assert "data.user_id" in bad.error.message


@pytest.mark.parametrize("status", ["skipped", "done"])
def test_asking_for_runs_by_status(serve, status):
    with serve(App("shop")) as mill:
        if status == "skipped":
            assert mill.runs(status=status) == []
        else:
            with pytest.raises(ValueError, match="scheduled, running"):
                mill.runs(status=status)


def test_functions_that_listen_for_ends_do_not_start_each_other(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def ship(ctx: Context) -> None: ...

    @app.function(on="tidemill/function.finished")
    def count(ctx: Context) -> str:
        return ctx.event.data["function_id"]

    @app.function(on="tidemill/*")
    def note(ctx: Context) -> str:
        return ctx.event.data["function_id"]

    with serve(app) as mill:
        mill.send("order/placed")
        assert sorted(names(mill)) == ["count", "note", "ship"]
        assert {run.output for run in mill.runs()} == {None, "shop.ship"}
