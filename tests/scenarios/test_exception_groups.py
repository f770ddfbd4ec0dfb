"""An error in a group decides as it would alone, however deep it lies."""

import asyncio

import pytest

from tidemill import App, AsyncContext, Context, NonRetriableError, RetryAfterError, StepError


def group(*errors: Exception) -> ExceptionGroup:
    return ExceptionGroup("both", list(errors))


@pytest.mark.parametrize(
    "error",
    [
        group(NonRetriableError("no")),
        group(ValueError("a"), NonRetriableError("no")),
        group(ValueError("a"), group(group(NonRetriableError("no")))),
    ],
    ids=["alone", "beside", "deep"],
)
@pytest.mark.parametrize("place", ["step", "between"])
def test_a_nonretriable_error_in_a_group_stops(serve, error, place):
    app, calls = App("shop"), []

    @app.function(on="go", retries=3)
    def work(ctx: Context) -> None:
        def fails() -> None:
            calls.append(1)
            raise error

        if place == "step":
            ctx.step.run("fails", fails)
        fails()

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert len(calls) == 1
        assert "no" in run.error.message


def test_the_latest_retry_after_of_a_group_counts(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> str:
        def fails() -> str:
            calls.append(1)
            if len(calls) == 1:
                raise group(RetryAfterError("1m"), ValueError("a"), RetryAfterError("10m"))
            return "ok"

        return ctx.step.run("fails", fails)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(minutes=9, seconds=59)
        assert len(calls) == 1
        mill.advance(seconds=1)
        assert run.output == "ok"


def test_the_message_names_the_errors_of_a_group(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        raise group(ValueError("a"), KeyError("b"))

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.error.type == "ExceptionGroup"
        assert run.error.message == "both: ValueError: a; KeyError: 'b'"


def test_a_group_of_one_error_is_remembered_as_that_error(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> None:
        async def fails() -> None:
            raise ValueError("boom")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.error.type, run.error.message) == ("ValueError", "boom")


def test_a_step_that_failed_in_a_task_group_names_its_step(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=3)
    async def work(ctx: AsyncContext) -> None:
        calls.append(1)

        def fails() -> None:
            raise NonRetriableError("boom")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.step.run("charge", fails))

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert run.error.step_id == "charge"


def test_a_group_of_ten_thousand_errors_is_remembered_in_short(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        raise ExceptionGroup("many", [ValueError(str(number)) for number in range(10_000)])

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.error.message.startswith("many: ValueError: 0; ValueError: 1")
        assert len(run.error.message) < 1_000


def test_a_caught_step_error_of_a_group_lets_the_run_go_on(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        def fails() -> None:
            raise NonRetriableError("boom")

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ctx.step.run("charge", fails))
        except* StepError:
            pass
        return "went on"

    with serve(app) as mill:
        assert mill.send("go").run().output == "went on"
