"""Events whose `ts` lies in the future: they take effect then, and start, resolve and cancel nothing before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.doubles import Clock

from tidemill import App, AsyncContext, CancelOn, Context
from tidemill import Wait as WaitFor
from tidemill.core import match
from tidemill.engine.intake import receive
from tidemill.engine.runs import match_waits
from tidemill.model import Event, Wait, event_fields

DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


def following(timeout: str | None = None, **options):
    app = App("shop")

    @app.function(on="order/placed", **options)
    def follow(ctx: Context) -> str:
        ctx.step.sleep("a while", ctx.event.data.get("sleep", 0))
        found = ctx.step.wait_for_event("paid", "order/paid", match="data.n", timeout=timeout)
        return f"paid {found.id}" if found else "not paid"

    return app


@pytest.mark.parametrize("first", ["event", "wait"])
def test_a_wait_is_resolved_at_its_ts(serve, first):
    with serve(following()) as mill:
        due = mill.now + DAY
        if first == "wait":
            run = mill.send("order/placed", {"n": 1}).run()
            assert run.status == "waiting"
            mill.send("order/paid", {"n": 1}, id="p", ts=due)
        else:
            run = mill.send("order/placed", {"n": 1, "sleep": "1h"}).run()
            mill.send("order/paid", {"n": 1}, id="p", ts=due)
        mill.set_time(due - MS)
        assert run.status == "waiting"
        mill.set_time(due)
        assert run.output == "paid p"


def test_sent_before_its_name_was_ever_awaited_and_before_the_run(serve):
    with serve(following()) as mill:
        due = mill.now + DAY
        mill.send("order/paid", {"n": 1}, id="p", ts=due)
        run = mill.send("order/placed", {"n": 1}).run()
        other = mill.send("order/placed", {"n": 2}).run()
        mill.set_time(due - MS)
        assert (run.status, other.status) == ("waiting", "waiting")
        mill.set_time(due)
        assert (run.output, other.status) == ("paid p", "waiting")


def test_after_366_days_while_the_run_sleeps(serve):
    with serve(following()) as mill:
        due = mill.now + timedelta(days=366)
        run = mill.send("order/placed", {"n": 1, "sleep": "360d"}).run()
        mill.send("order/paid", {"n": 1}, id="p", ts=due)
        mill.set_time(due - MS)
        assert run.status == "waiting"
        mill.set_time(due)
        assert run.output == "paid p"


@pytest.mark.parametrize(("late", "output"), [(-1, "paid p"), (0, "paid p"), (1, "not paid")])
@pytest.mark.parametrize("known", [True, False])
def test_the_timeout_and_the_ts(serve, late, output, known):
    """An event whose `ts` is the very moment of the timeout is in time."""
    with serve(following("1d")) as mill:
        if known:
            mill.send("order/placed", {"n": 9})
        over = mill.now + 2 * MS + DAY  # each event that is sent takes a millisecond
        mill.send("order/paid", {"n": 1}, id="p", ts=over + late * MS)
        run = mill.send("order/placed", {"n": 1}).run()
        assert run.started_at + DAY == over
        mill.set_time(over - 2 * MS)
        assert run.status == "waiting"
        mill.advance(days=1)
        assert run.output == output


def test_a_later_event_that_takes_effect_sooner_comes_first(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def follow(ctx: Context) -> list[str]:
        found = [ctx.step.wait_for_event("scan", "scanned", match="data.n") for _ in range(3)]
        return [each.id for each in found if each]

    with serve(app) as mill:
        run = mill.send("order/placed", {"n": 1}).run()
        mill.send("scanned", {"n": 1}, id="in two days", ts=mill.now + 2 * DAY)
        mill.send("scanned", {"n": 1}, id="tomorrow", ts=mill.now + DAY)
        mill.send("scanned", {"n": 1}, id="now")
        mill.advance(days=3)
        assert run.output == ["now", "tomorrow", "in two days"]


def test_waits_that_are_open_at_once_each_get_it(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def follow(ctx: Context) -> list[str]:
        def branch(name: str) -> str:
            found = ctx.step.wait_for_event(name, "order/paid", timeout="2d")
            return found.id if found else "none"

        return ctx.step.parallel(lambda: branch("a"), lambda: branch("b"), lambda: branch("c"))

    with serve(app) as mill:
        run = mill.send("order/placed").run()
        mill.send("order/paid", id="p", ts=mill.now + DAY)
        mill.advance(days=1)
        assert run.output == ["p", "p", "p"]


def test_the_first_of_several(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def follow(ctx: Context) -> str:
        waits = {"paid": WaitFor("order/paid"), "sent": WaitFor("order/sent")}
        found = ctx.step.wait_for_any("which", waits, timeout="2d")
        return found[0] if found else "none"

    with serve(app) as mill:
        mill.send("order/paid", ts=mill.now + DAY)
        run = mill.send("order/placed").run()
        mill.send("order/paid", ts=mill.now + DAY)
        mill.send("order/sent", ts=mill.now + DAY / 2)
        mill.advance(hours=11)
        assert run.status == "waiting"
        mill.advance(hours=2)
        assert run.output == "sent"


def test_async_code(serve):
    app = App("shop")

    @app.function(on="order/placed")
    async def follow(ctx: AsyncContext) -> str:
        found = await ctx.step.wait_for_event("paid", "order/paid")
        return found.id if found else "none"

    with serve(app) as mill:
        run = mill.send("order/placed").run()
        mill.send("order/paid", id="p", ts=mill.now + DAY)
        mill.advance(hours=23)
        assert run.status == "waiting"
        mill.advance(hours=2)
        assert run.output == "p"


def test_without_look_back_it_counts_from_its_ts(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def follow(ctx: Context) -> str:
        ctx.step.sleep("a while", "1h")
        found = ctx.step.wait_for_event("paid", "order/paid", lookback=False)
        return found.id if found else "none"

    with serve(app) as mill:
        run = mill.send("order/placed").run()
        mill.send("order/paid", id="soon", ts=mill.now + timedelta(minutes=10))
        mill.send("order/paid", id="late", ts=mill.now + DAY)
        mill.advance(days=2)
        assert run.output == "late"


@pytest.mark.parametrize("state", ["sleeping", "waiting", "scheduled"])
def test_it_cancels_at_its_ts(serve, state):
    with serve(following(cancel_on=CancelOn("order/withdrawn", match="data.n"))) as mill:
        due = mill.now + DAY
        data = {"n": 1, "sleep": "2d" if state == "sleeping" else 0}
        run = mill.send("order/placed", data, ts=mill.now + 2 * DAY if state == "scheduled" else mill.now).run()
        mill.send("order/withdrawn", {"n": 1}, id="w", ts=due)
        assert run.status == state
        mill.set_time(due - MS)
        assert run.status == state
        mill.set_time(due)
        assert (run.status, run.ended_at) == ("cancelled", due)
        assert "order/withdrawn" in run.reason


def test_sent_before_the_run_it_cancels_it_all_the_same(serve):
    with serve(following(cancel_on=CancelOn("order/withdrawn", match="data.n"))) as mill:
        due = mill.now + DAY
        mill.send("order/withdrawn", {"n": 1}, ts=due)
        run = mill.send("order/placed", {"n": 1}).run()
        past = mill.send("order/placed", {"n": 2}).run()
        mill.send("order/withdrawn", {"n": 2}, ts=mill.now - DAY)
        assert (run.status, past.status) == ("waiting", "cancelled")
        mill.set_time(due - MS)
        assert run.status == "waiting"
        mill.set_time(due)
        assert run.status == "cancelled"


@pytest.mark.parametrize(("hours", "status"), [(1, "cancelled"), (3, "waiting")])
def test_it_cancels_within_the_time_that_cancel_on_gives(serve, hours, status):
    with serve(following(cancel_on=CancelOn("order/withdrawn", match="data.n", timeout="2h"))) as mill:
        run = mill.send("order/placed", {"n": 1}).run()
        mill.send("order/withdrawn", {"n": 1}, ts=mill.now + timedelta(hours=hours))
        mill.advance(days=1)
        assert run.status == status


def test_it_starts_at_its_ts_and_not_before(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def follow(ctx: Context) -> str:
        return "begun"

    with serve(app) as mill:
        due = mill.now + DAY
        run = mill.send("order/placed", ts=due).run()
        mill.set_time(due - MS)
        assert run.status == "scheduled"
        mill.set_time(due)
        assert run.output == "begun"


def test_its_id_stands_until_a_day_after_its_ts(serve):
    with serve(following()) as mill:
        run = mill.send("order/placed", {"n": 1}).run()
        due = mill.now + 30 * DAY
        mill.send("order/paid", {"n": 1}, id="p", ts=due)
        mill.advance(days=10)
        mill.send("order/paid", {"n": 2}, id="p")
        mill.set_time(due)
        assert run.output == "paid p"


def test_it_is_listed_and_shown_from_its_receipt_on(serve):
    with serve(following()) as mill:
        mill.send("order/paid", {"n": 1}, id="p", ts=mill.now + DAY)
        for _ in range(2):
            listed = mill.http("GET", "/v1/events?name=order/paid").json["data"]
            assert [event["id"] for event in listed] == ["p"]
            mill.advance(days=2)


@pytest.mark.parametrize("delayed", [1, 2])
def test_a_timeout_gets_an_event_whose_path_was_first_awaited_after_its_receipt(serve, delayed):
    """Its message is late: nobody has seen to the event when the wait comes to its timeout."""
    with serve(following()) as mill:
        now = int(mill.now.timestamp() * 1_000)
        clock = Clock(now)  # set by hand: nothing that is due comes by itself
        world = replace(mill._machine.world, clock=clock)
        hour = 3_600_000
        events = [Event(f"p{n}", "order/paid", {"n": n}, now + 2 * hour + n, now) for n in range(delayed)]
        for event in events:
            receive.receive(world, event)
        clock.ms += hour
        last = events[-1]
        condition = match.resolve(event_fields(last), match="data.n", when=None)
        wait = Wait("run", "shop.follow", "w", "order/paid", condition, after=now, until=last.ts + 1_000)
        match_waits.register(world, [wait])
        assert match_waits.oldest(world, [wait], set(), last=True) is None, "it has not taken effect"
        clock.ms = last.ts + 2_000
        assert match_waits.oldest(world, [wait], set(), last=True) == (wait, last)
