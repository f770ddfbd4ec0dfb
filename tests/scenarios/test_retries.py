"""Retries: each step has its own; backoff grows, with full jitter; errors say what they want."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest

from tidemill import (
    App,
    AsyncContext,
    Backoff,
    Context,
    NonRetriableError,
    RetryAfterError,
    StepError,
)


def failing(times: int, error: Exception | None = None):
    """A step's code that fails so often, and then gives the number of its call."""
    calls: list[int] = []

    def code() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error or ValueError(f"no {len(calls)}")
        return len(calls)

    code.calls = calls  # type: ignore[attr-defined]
    return code


def gaps(run, step: str) -> list[int]:
    """Milliseconds between the attempts of a step, as the journal has them."""
    tried = [r for r in run.journal if r.get("step") == step and r["type"] == "step_tried"]
    return [_ms(r["retry_at"]) - _ms(r["at"]) for r in tried]


def _ms(iso: str) -> int:
    from tidemill.duration import parse_time

    return parse_time(iso)


def test_a_step_is_tried_five_times_and_the_others_are_not_repeated(serve):
    app, first, flaky = App("shop"), failing(0), failing(4)

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        return [ctx.step.run("first", first), ctx.step.run("flaky", flaky)]

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "running"
        assert run.step("flaky").status == "retrying"
        assert run.step("flaky").error.message == "no 1"
        mill.advance("1m")
        assert run.output == [1, 5]
        assert run.step("flaky").attempts == 5
        assert len(first.calls) == 1
        assert run.attempt == 1


def test_it_fails_for_good_after_the_fifth_attempt(serve):
    app, code = App("shop"), failing(99)

    @app.function(on="go")
    def work(ctx: Context) -> int:
        return ctx.step.run("flaky", code)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.status == "failed"
        assert (run.error.type, run.error.message, run.error.step_id) == ("ValueError", "no 5", "flaky")
        assert "def code" not in run.error.stack
        assert "raise error or ValueError" in run.error.stack
        assert "tidemill/execute" not in run.error.stack
        assert len(code.calls) == 5
        assert run.attempt == 1, "a StepError that nobody catches fails the run at once"


@pytest.mark.parametrize("seed", range(5))
def test_the_pauses_stay_within_exponential_bounds(serve, seed):
    app, code = App("shop"), failing(99)

    @app.function(on="go", retries=15)
    def work(ctx: Context) -> int:
        return ctx.step.run("flaky", code)

    with serve(app, seed=seed) as mill:
        run = mill.send("go").run()
        mill.advance("1d")
        found = gaps(run, "flaky")
        assert len(found) == 15
        assert all(0 <= gap <= min(1_000 * 2**n, 3_600_000) for n, gap in enumerate(found))
        assert max(found) > 60_000, "they grow"
        assert len(set(found)) > 10, "they are not all alike"


def test_backoff_sets_the_pauses(serve):
    app, code = App("shop"), failing(99)

    @app.function(on="go", retries=5, backoff=Backoff("10s", 3, "1m"))
    def work(ctx: Context) -> int:
        return ctx.step.run("flaky", code)

    with serve(app, seed=3) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        found = gaps(run, "flaky")
        assert all(gap <= bound for gap, bound in zip(found, [10_000, 30_000, 60_000, 60_000, 60_000], strict=True))
        assert max(found) > 10_000


def test_backoff_of_the_function_itself(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=1, backoff="30s")
    def work(ctx: Context) -> int:
        calls.append(ctx.attempt)
        if ctx.attempt == 1:
            raise ValueError("between steps")
        return ctx.attempt

    with serve(app, seed=1) as mill:
        run = mill.send("go").run()
        assert (run.status, run.attempt) == ("running", 2)
        mill.advance("30s")
        assert run.output == 2
        assert calls == [1, 2]


def test_an_error_between_steps_keeps_what_is_remembered(serve):
    app, step = App("shop"), failing(0)
    broken = [True, True]

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> list[int]:
        value = ctx.step.run("once", step)
        if broken:
            broken.pop()
            raise KeyError("oops")
        return [value, ctx.attempt]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == [1, 3]
        assert len(step.calls) == 1


def test_the_function_fails_when_its_own_retries_are_used_up(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> None:
        calls.append(ctx.attempt)
        raise RuntimeError("always")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert (run.status, run.attempt, calls) == ("failed", 3, [1, 2, 3])
        assert (run.error.type, run.error.message, run.error.step_id) == ("RuntimeError", "always", None)
        assert 'raise RuntimeError("always")' in run.error.stack


def test_non_retriable_stops_at_once_in_a_step_and_between_steps(serve):
    app, code = App("shop"), failing(1, NonRetriableError("never"))

    @app.function(on="step")
    def in_a_step(ctx: Context) -> int:
        return ctx.step.run("x", code)

    @app.function(on="between")
    def between(ctx: Context) -> None:
        raise NonRetriableError("never")

    with serve(app) as mill:
        for name in ("step", "between"):
            run = mill.send(name).run()
            assert (run.status, run.error.type, run.error.message) == ("failed", "NonRetriableError", "never")
            assert run.attempt == 1
        assert len(code.calls) == 1


@pytest.mark.parametrize(("when", "pause"), [("5m", 300), (90, 90), (timedelta(hours=2), 7_200), ("now + 10m", 600)])
def test_retry_after_names_the_delay_or_the_time(serve, when, pause):
    app, calls = App("shop"), []

    with serve(app) as mill:
        at = mill.now + timedelta(minutes=10, milliseconds=1) if when == "now + 10m" else when

        def code() -> str:
            calls.append(mill.now)
            if len(calls) == 1:
                raise RetryAfterError(at, "slow down")
            return "ok"

        @app.function(on="go")
        def work(ctx: Context) -> str:
            return ctx.step.run("x", code)

        mill.reload(app)
        run = mill.send("go").run()
        mill.advance(seconds=pause - 1)
        assert run.status == "running"
        mill.advance(seconds=1)
        assert run.output == "ok"
        assert calls[1] - calls[0] == timedelta(seconds=pause)


def test_retry_after_between_steps(serve):
    app = App("shop")

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> int:
        if ctx.attempt == 1:
            raise RetryAfterError("1h")
        return ctx.attempt

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(minutes=59)
        assert run.status == "running"
        mill.advance(minutes=1)
        assert run.output == 2


def test_retry_after_counts_as_an_attempt(serve):
    app, code = App("shop"), failing(99, RetryAfterError("1s"))

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> int:
        return ctx.step.run("x", code)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert (run.status, len(code.calls)) == ("failed", 3)


def test_a_step_error_can_be_caught_and_is_the_same_in_a_replay(serve):
    app, code, seen = App("shop"), failing(99), []

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> str:
        try:
            ctx.step.run("charge", code)
        except StepError as error:
            seen.append((error.type, error.message, str(error), error.step_id))
        ctx.step.sleep("a while", "1h")
        return ctx.step.run("other way", lambda: "invoice")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == "invoice"
        assert set(seen) == {("ValueError", "no 2", "no 2", "charge")}
        assert len(seen) >= 2
        assert run.step("charge").status == "failed"
        assert len(code.calls) == 2


def test_step_options_are_the_steps_own(serve):
    app, once, often = App("shop"), failing(99), failing(3)

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> int:
        with contextlib.suppress(StepError):
            ctx.step.options(retries=0).run("once", once)
        return ctx.step.options(retries=3).run("often", often)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == 4
        assert len(once.calls) == 1


def test_an_attempt_that_takes_too_long_fails(serve):
    """Time stands still while code runs, so the attempt's own timeout is the one thing that is real time."""
    import threading

    app, forever = App("shop"), threading.Event()

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        ctx.step.options(timeout="10ms").run("slow", forever.wait)

    with serve(app) as mill:
        run = mill.send("go").run()
        forever.set()
        assert (run.status, run.error.type) == ("failed", "StepTimeoutError")
        assert "10 ms" in run.error.message or "10ms" in run.error.message


def test_an_async_attempt_that_takes_too_long_fails(serve):
    import asyncio

    app = App("shop")

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> None:
        await ctx.step.options(timeout="10ms").run("slow", asyncio.sleep, 60)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.error.type) == ("failed", "StepTimeoutError")


def test_attempt_is_the_steps_own_inside_a_step(serve):
    app, seen = App("shop"), []

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> list[int]:
        def code() -> int:
            seen.append(ctx.attempt)
            if ctx.attempt < 3:
                raise ValueError
            return ctx.attempt

        return [ctx.attempt, ctx.step.run("x", code), ctx.attempt]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == [1, 3, 1]
        assert seen == [1, 2, 3]


def test_attempt_in_an_async_step(serve):
    app, seen = App("shop"), []

    @app.function(on="go", retries=2)
    async def work(ctx: AsyncContext) -> int:
        async def code() -> int:
            seen.append(ctx.attempt)
            if ctx.attempt < 2:
                raise ValueError
            return ctx.attempt

        return await ctx.step.run("x", code)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == 2
        assert seen == [1, 2]


def test_exiting_is_an_error_like_any_other(serve):
    import sys

    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        ctx.step.run("x", sys.exit, 3)

    @app.function(on="go", retries=0)
    def other(ctx: Context) -> None:
        sys.exit(4)

    with serve(app) as mill:
        sent = mill.send("go")
        assert "sys.exit(3)" in sent.run("shop.work").error.message
        assert "sys.exit(4)" in sent.run("shop.other").error.message
