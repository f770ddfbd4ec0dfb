"""Each feature of flow control, as a user meets it: who runs, who waits and is told why, who is turned away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tidemill import (
    App,
    Batch,
    Concurrency,
    Context,
    Debounce,
    RateLimit,
    Singleton,
    Throttle,
)


def test_one_at_a_time_for_each_key_the_urgent_first(serve):
    """Runs that sleep in their place: the others stand in line, by when they came and how urgent they are."""
    app = App("shop")

    @app.function(
        on="go",
        concurrency=Concurrency(1, key="event.data.user", counts="runs"),
        priority="event.data.plan == 'pro' ? 120 : 0",
    )
    def work(ctx: Context) -> str:
        ctx.step.sleep("work", "1m")
        return ctx.event.data["n"]

    with serve(app) as mill:
        runs = {
            n: mill.send("go", {"n": n, "user": user, "plan": plan}).run(work)
            for n, user, plan in (
                ("first", "ann", ""), ("second", "ann", ""), ("third", "ann", ""), ("urgent", "ann", "pro"),
                ("other", "bob", ""),
            )
        }  # fmt: skip
        assert [runs[n].status for n in runs] == ["sleeping", "scheduled", "scheduled", "scheduled", "sleeping"]
        assert "'ann'" in (runs["second"].reason or "")
        shown = mill.http("GET", "/v1/functions/shop.work").json["data"]["places"][0]
        assert (shown["used"], shown["waiting"], shown["limit"]) == (2, 3, 1)
        assert [(key["value"], key["used"], key["waiting"]) for key in shown["keys"]] == [("ann", 1, 3), ("bob", 1, 0)]
        mill.advance("5m")
        assert [run.status for run in runs.values()] == ["completed"] * 5
        order = sorted((run for n, run in runs.items() if n != "other"), key=lambda run: run.started_at)
        assert [run.output for run in order] == ["first", "urgent", "second", "third"]
        assert all(run.reason is None for run in order)
        shown = mill.http("GET", "/v1/functions/shop.work").json["data"]["places"][0]
        assert (shown["used"], shown["waiting"], shown["keys"]) == (0, 0, [])


def test_a_run_that_sleeps_holds_no_place_of_those_that_count_steps(serve):
    app = App("shop")

    @app.function(on="go", concurrency=Concurrency(1))
    def work(ctx: Context) -> str:
        ctx.step.sleep("work", "1m")
        return ctx.step.run("done", lambda: "done")

    with serve(app) as mill:
        runs = [mill.send("go").run(work) for _ in range(3)]
        assert [run.status for run in runs] == ["sleeping"] * 3
        mill.advance("1m")
        assert [run.output for run in runs] == ["done"] * 3


def test_a_place_goes_on_when_its_holder_is_cancelled_or_fails(serve):
    app = App("shop")

    @app.function(on="go", concurrency=Concurrency(1, counts="runs"), retries=0)
    def work(ctx: Context) -> str:
        ctx.step.sleep("work", "1m")
        if ctx.event.data["fails"]:
            raise ValueError("no")
        return "done"

    with serve(app) as mill:
        first, second, third, fourth = (mill.send("go", {"fails": n == 1}).run(work) for n in range(4))
        assert third.cancel()
        assert third.status == "cancelled"
        assert first.cancel()
        assert (first.status, second.status, fourth.status) == ("cancelled", "sleeping", "scheduled")
        mill.advance("1m")
        assert (second.status, fourth.status) == ("failed", "sleeping")
        mill.advance("1m")
        assert fourth.output == "done"


def test_a_crash_costs_no_place(serve):
    app = App("shop")

    @app.function(on="go", concurrency=Concurrency(1))
    def work(ctx: Context) -> str:
        ctx.step.run("first", lambda: None)
        return ctx.step.run("second", lambda: "done")

    with serve(app) as mill:
        mill.crash(after="first")
        runs = [mill.send("go").run(work) for _ in range(2)]
        mill.advance("1m")
        assert [run.output for run in runs] == ["done", "done"]


def test_two_functions_share_the_places_of_an_account(serve):
    app, other = App("shop"), App("desk")
    for each in (app, other):

        @each.function(id="work", on="go", concurrency=Concurrency(1, key="'api'", scope="account", counts="runs"))
        def work(ctx: Context) -> str:
            ctx.step.sleep("work", "1m")
            return "done"

    with serve(app, other) as mill:
        sent = mill.send("go")
        runs = [sent.run("shop.work"), sent.run("desk.work")]
        assert sorted(run.status for run in runs) == ["scheduled", "sleeping"]
        mill.advance("2m")
        assert [run.output for run in runs] == ["done", "done"]


def test_a_throttle_gives_each_its_slot(serve):
    app = App("shop")

    @app.function(on="go", throttle=Throttle(2, "1m", burst=2))
    def work(ctx: Context) -> None: ...

    with serve(app) as mill:
        began = mill.now
        runs = mill.send([{"name": "go"} for _ in range(4)]).runs
        assert sorted(run.status for run in runs) == ["completed", "completed", "scheduled", "scheduled"]
        mill.advance("2m")
        slots = sorted(round((run.started_at - began) / timedelta(seconds=1)) for run in runs)
        assert slots == [0, 0, 30, 60]


def test_a_rate_limit_turns_away_and_says_why(serve):
    app = App("shop")

    @app.function(on="go", rate_limit=RateLimit(2, "1m", key="event.data.user"))
    def work(ctx: Context) -> None: ...

    with serve(app) as mill:
        runs = [mill.send("go", {"user": user}).run(work) for user in ("ann", "ann", "ann", "bob")]
        assert [run.status for run in runs] == ["completed", "completed", "skipped", "completed"]
        assert "over the rate limit for 'ann'" in (runs[2].reason or "")
        mill.advance("1m")
        assert mill.send("go", {"user": "ann"}).run(work).status == "completed"


def test_a_debounce_gives_the_code_the_last_event_after_a_silence(serve):
    app = App("shop")

    @app.function(on="go", debounce=Debounce("10s", key="event.data.doc"))
    def work(ctx: Context) -> str:
        return ctx.event.data["text"]

    with serve(app) as mill:
        run = mill.send("go", {"doc": 1, "text": "h"}).run(work)
        for text in ("he", "hello"):
            mill.advance("9s")
            assert mill.send("go", {"doc": 1, "text": text}).run(work) == run
        assert run.status == "scheduled"
        mill.advance("10s")
        assert (run.output, len(run.event_ids)) == ("hello", 3)
        assert mill.send("go", {"doc": 1, "text": "new"}).run(work) != run


def test_a_batch_is_one_run_for_many_events(serve):
    app = App("shop")

    @app.function(on="go", batch=Batch(3, "1m"))
    def work(ctx: Context) -> list[int]:
        return [event.data["n"] for event in ctx.events]

    with serve(app) as mill:
        runs = [mill.send("go", {"n": n}).run(work) for n in range(4)]
        assert runs[0] == runs[1] == runs[2] != runs[3]
        assert (runs[0].output, runs[3].status) == ([0, 1, 2], "scheduled")
        mill.advance("1m")
        assert runs[3].output == [3]


@pytest.mark.parametrize("mode", ["skip", "cancel"])
def test_a_singleton_is_alone(serve, mode):
    app = App("shop")

    @app.function(on="go", singleton=Singleton(mode))
    def work(ctx: Context) -> None:
        ctx.step.sleep("work", "1m")

    with serve(app) as mill:
        first, second = mill.send("go").run(work), mill.send("go").run(work)
        assert (first.status, second.status) == {
            "skip": ("sleeping", "skipped"),
            "cancel": ("cancelled", "sleeping"),
        }[mode]
        mill.advance("1m")
        assert mill.send("go").run(work).status == "sleeping"


def test_an_idempotency_key_has_one_run_in_a_day(serve):
    app = App("shop")

    @app.function(on="go", idempotency="event.data.order")
    def work(ctx: Context) -> None: ...

    with serve(app) as mill:
        first, again, other = (mill.send("go", {"order": order}).run(work) for order in ("o1", "o1", "o2"))
        assert [run.status for run in (first, again, other)] == ["completed", "skipped", "completed"]
        assert again.reason == f"run {first.id} has its idempotency key 'o1', for 24 hours"
        mill.advance("24h")
        assert mill.send("go", {"order": "o1"}).run(work).status == "completed"
