"""Sleeping: for a while, or until a time, however long; it ends when it is over and not before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidemill import App, AsyncContext, Context


@pytest.mark.parametrize(
    ("given", "ms"),
    [(5, 5_000), (0.25, 250), ("1h30m", 5_400_000), (timedelta(days=2), 172_800_000), ("366d", 31_622_400_000)],
)  # fmt: skip
def test_a_sleep_is_over_on_time(serve, given, ms):
    app = App("shop")

    @app.function(on="go")
    def nap(ctx: Context) -> str:
        ctx.step.sleep("nap", given)
        return "awake"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(milliseconds=ms - 1)
        assert (run.status, run.step("nap").status) == ("sleeping", "sleeping")
        mill.advance(milliseconds=1)
        assert run.output == "awake"
        assert run.ended_at - run.started_at == timedelta(milliseconds=ms)


@pytest.mark.parametrize(
    "when", [datetime(2026, 6, 1, 9, tzinfo=UTC), "2026-06-01T09:00:00Z", "2026-06-01 09:00", "2026-06-01T11:00+02:00"]
)
def test_sleep_until_a_time(serve, when):
    app = App("shop")

    @app.function(on="go")
    def nap(ctx: Context) -> str:
        ctx.step.sleep_until("spring", when)
        return "awake"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.set_time("2026-06-01T08:59:59.999")
        assert run.status == "sleeping"
        mill.set_time("2026-06-01T09:00")
        assert run.output == "awake"


def test_the_past_goes_on_at_once(serve):
    app = App("shop")

    @app.function(on="go")
    def nap(ctx: Context) -> str:
        ctx.step.sleep_until("long ago", "1999-12-31")
        ctx.step.sleep("no time", 0)
        return "awake"

    with serve(app) as mill:
        assert mill.send("go").run().output == "awake"


@pytest.mark.parametrize(
    ("bad", "word"),
    [(lambda s: s.sleep("x", "soon"), "duration"), (lambda s: s.sleep("x", -1), "negative"),
     (lambda s: s.sleep("x", "367d"), "366d"), (lambda s: s.sleep_until("x", datetime(2026, 1, 1)), "zone")],  # noqa: DTZ001 - the mistake
)  # fmt: skip
def test_what_is_no_time_is_told_and_not_retried(serve, bad, word):
    app = App("shop")

    @app.function(on="go")
    def nap(ctx: Context) -> None:
        bad(ctx.step)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert word in run.error.message
        assert "'x'" in run.error.message


def test_a_sleep_keeps_its_end_when_the_code_runs_again(serve):
    """A retry of the function in the middle of a sleep does not start the sleep anew."""
    app = App("shop")

    @app.function(on="go")
    async def naps(ctx: AsyncContext) -> str:
        import asyncio

        await asyncio.gather(ctx.step.sleep("short", "1h"), ctx.step.sleep("long", "3h"))
        return "awake"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.step("short").status == "completed"
        assert run.step("short").ended_at - run.started_at == timedelta(hours=1)
        mill.advance("1h")
        assert run.output == "awake"
        assert run.ended_at - run.started_at == timedelta(hours=3)


def test_a_thousand_runs_wake_in_their_order(serve):
    app, woken = App("shop"), []

    @app.function(on="go")
    def nap(ctx: Context) -> None:
        ctx.step.sleep("nap", ctx.event.data["n"])
        ctx.step.run("note", lambda: woken.append(ctx.event.data["n"]))

    with serve(app) as mill:
        mill.send([{"name": "go", "data": {"n": (n * 7_919) % 1_000 + 10}} for n in range(1_000)])
        mill.advance("1h")
        assert woken == sorted(woken)
        assert len(woken) == 1_000
