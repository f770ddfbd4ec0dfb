"""A durable step for each item, spread over many workers."""

from __future__ import annotations

import asyncio

import pytest

from tidemill import App, AsyncContext, Context, NonRetriableError, StepError


def test_results_in_order_over_a_closure(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        factor = ctx.step.run("factor", lambda: 3)
        return ctx.step.map("times", lambda n: n * factor, range(10))

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == [n * 3 for n in range(10)]
        assert run.step("times").kind == "map"
        assert run.step("times").output == run.output
        assert mill.runs() == [run], "the parts of a map are no runs of their own"


def test_a_thousand_items(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> int:
        return sum(ctx.step.map("square", lambda n: calls.append(n) or n * n, range(1_000)))

    with serve(app) as mill:
        assert mill.send("go").run().output == sum(n * n for n in range(1_000))
        assert sorted(calls) == list(range(1_000))


@pytest.mark.parametrize("items", [[], [1]])
def test_none_and_one(serve, items):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        return ctx.step.map("m", lambda n: n, items)

    with serve(app) as mill:
        assert mill.send("go").run().output == items


def test_items_are_retried_alone(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        def code(n: int) -> int:
            calls.append(n)
            if n == 5 and calls.count(5) < 3:
                raise ValueError("five")
            return ctx.attempt

        return ctx.step.map("m", code, range(10), max_concurrency=2)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == [1, 1, 1, 1, 1, 3, 1, 1, 1, 1]
        assert len(calls) == 12


def test_all_items_run_and_then_the_first_failure_is_raised(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> object:
        def code(n: int) -> int:
            calls.append(n)
            if n in (3, 7):
                raise NonRetriableError(f"no {n}")
            return n

        try:
            return ctx.step.map("m", code, range(10), max_concurrency=3)
        except StepError as error:
            return [error.message, error.type]

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == ["no 3", "NonRetriableError"]
        assert sorted(calls) == list(range(10))
        assert run.step("m").status == "failed"


def test_an_uncaught_failure_fails_the_run(serve):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> object:
        return ctx.step.map("m", lambda n: 1 // n, [1, 0])

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.error.type) == ("failed", "ZeroDivisionError")
        assert run.error.step_id == "m"


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_max_concurrency(serve, most):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[int]:
        return ctx.step.map("m", lambda n: n, range(20), max_concurrency=most)

    with serve(app) as mill:
        assert mill.send("go").run().output == list(range(20))


def test_async_items_sync_and_async(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list:
        async def code(n: int) -> int:
            await asyncio.sleep(0)
            return n * 2

        return [await ctx.step.map("a", code, range(5)), await ctx.step.map("s", lambda n: n, range(5))]

    with serve(app) as mill:
        assert mill.send("go").run().output == [[0, 2, 4, 6, 8], [0, 1, 2, 3, 4]]


def test_two_maps_side_by_side_and_values_as_themselves(serve):
    from decimal import Decimal

    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list:
        return ctx.step.parallel(
            lambda: ctx.step.map("a", lambda d: d * 2, [Decimal("1.5")]),
            lambda: ctx.step.map("b", lambda n: n, [1]),
        )

    with serve(app) as mill:
        assert mill.send("go").run().output == [[Decimal("3.0")], [1]]


def test_a_stub_stands_for_each_item(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list:
        return ctx.step.map("resize", lambda n: 1 / 0, [1, 2])

    with serve(app) as mill:
        resize = mill.stub("resize", lambda n: n + 1)
        assert mill.send("go").run().output == [2, 3]
        assert sorted(call.args for call in resize.calls) == [(1,), (2,)]


def test_a_process_that_dies_in_a_part_loses_no_item(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> list:
        return ctx.step.map("m", lambda n: calls.append(n) or n, range(20), max_concurrency=2)

    with serve(app) as mill:
        mill.crash("m", times=2)
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == list(range(20))
        assert len(calls) == 22


def test_cancelling_the_run_stops_its_parts(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> list:
        def code(n: int) -> int:
            calls.append(n)
            raise ValueError

        return ctx.step.map("m", code, range(4))

    with serve(app) as mill:
        run = mill.send("go").run()
        run.cancel()
        seen = len(calls)
        mill.advance("1d")
        assert (run.status, len(calls)) == ("cancelled", seen)
