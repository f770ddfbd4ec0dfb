"""Steps whose work is handed over: what tells their end, tells it once, and in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context, StepError, values
from tidemill.engine.drive import remote_attempt
from tidemill.model import Failure
from tidemill.task import Handed
from tidemill.testing import Mill

Serve = Callable[..., Mill]
HOUR = 3_600_000


def an_app(begun: list[int], *, is_async: bool) -> App:
    app = App("shop")

    def begin(ctx: Any) -> Any:
        begun.append(ctx.attempt)
        return Handed(1_767_225_600_000 + 2 * HOUR)

    if is_async:

        @app.function(on="go", retries=1, backoff="1m", id="f")
        async def work_async(ctx: AsyncContext) -> Any:
            return await ctx.step.run("task", begin, ctx)
    else:

        @app.function(on="go", retries=1, backoff="1m", id="f")
        def work(ctx: Context) -> Any:
            return ctx.step.run("task", begin, ctx)

    return app


def end(mill: Mill, run: Any, attempt: int, outcome: bytes | Failure) -> bool:
    """As whoever hears of the end does it: tell the run, then have it looked at."""
    world = mill._machine.world
    told = remote_attempt.ended(world, run.id, "task", attempt, outcome)
    world.queue.wake(run.id, run.function_id)
    mill.advance(seconds=0)
    return told


def value(of: Any) -> bytes:
    return values.encode(of, "output")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_run_goes_on_with_what_was_told(serve: Serve, is_async: bool) -> None:
    begun: list[int] = []
    with serve(an_app(begun, is_async=is_async)) as mill:
        run = mill.send("go").run("shop.f")
        assert run.status == "running"
        assert [(step.id, step.status) for step in run.steps] == [("task", "running")]
        assert end(mill, run, 1, value({"ok": 7}))
        assert (run.status, run.output) == ("completed", {"ok": 7})
        assert [(step.id, step.status, step.attempts) for step in run.steps] == [("task", "completed", 1)]
        assert begun == [1]
        assert not end(mill, run, 1, value("again")), "an end told twice changes nothing"


def test_a_failure_is_retried_and_the_first_attempt_tells_nothing_more(serve: Serve) -> None:
    begun: list[int] = []
    with serve(an_app(begun, is_async=True)) as mill:
        run = mill.send("go").run("shop.f")
        assert end(mill, run, 1, Failure("ExitError", "exit code 1"))
        mill.advance(minutes=1)
        assert begun == [1, 2]
        assert not end(mill, run, 1, value("late"))
        assert run.status == "running"
        assert end(mill, run, 2, value("second"))
        assert (run.output, run.steps[0].attempts) == ("second", 2)


def test_what_is_not_heard_of_in_time_has_failed(serve: Serve) -> None:
    begun: list[int] = []
    with serve(an_app(begun, is_async=False)) as mill:
        run = mill.send("go").run("shop.f")
        mill.advance(hours=2, minutes=2)
        assert begun == [1, 2]
        assert run.error is not None
        assert (run.status, run.error.type, run.steps[0].attempts) == ("failed", "StepTimeoutError", 2)
        assert "did not end in time" in run.error.message


def test_a_failure_that_no_retry_can_help_fails_at_once(serve: Serve) -> None:
    caught: list[StepError] = []
    app = App("shop")

    @app.function(on="go", id="f")
    def work(ctx: Context) -> str:
        try:
            ctx.step.run("task", lambda: Handed(1_767_225_600_000 + HOUR))
        except StepError as error:
            caught.append(error)
        return "went on"

    with serve(app) as mill:
        run = mill.send("go").run("shop.f")
        assert end(mill, run, 1, Failure("Http404", "no such thing", retriable=False))
        assert run.output == "went on"
        assert (caught[-1].type, caught[-1].message) == ("Http404", "no such thing")


def test_a_cancelled_run_needs_no_telling(serve: Serve) -> None:
    with serve(an_app([], is_async=True)) as mill:
        run = mill.send("go").run("shop.f")
        run.cancel()
        assert not end(mill, run, 1, value(1))
        assert run.status == "cancelled"
