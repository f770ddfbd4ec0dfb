"""Branches side by side: results in order, every branch let finish, then the first failure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tidemill import App, AsyncContext, Context, NonRetriableError, StepError


def test_results_in_order(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list:
        def slow() -> str:
            ctx.step.sleep("nap", "1h")
            return ctx.step.run("slow", lambda: "slow")

        return ctx.step.parallel(slow, lambda: ctx.step.run("fast", lambda: "fast"))

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.step("fast").status == "completed"
        assert run.status == "sleeping"
        mill.advance("1h")
        assert run.output == ["slow", "fast"]
        assert [s.id for s in run.steps] == ["p0/1/fast", "p0/0/nap", "p0/0/slow"] or len(run.steps) == 3


def test_blocked_branches_do_not_hold_each_other_up(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list:
        def sleeper(name: str, hours: int):
            def branch() -> str:
                ctx.step.sleep(f"{name} nap", hours * 3_600)
                ctx.step.run(f"{name} woke", lambda: None)
                found = ctx.step.wait_for_event(f"{name} call", f"call/{name}", timeout="10h")
                return f"{name} {found is not None}"

            return branch

        return ctx.step.parallel(sleeper("a", 2), sleeper("b", 1))

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.step("b woke").status == "completed"
        assert run.step("a nap").status == "sleeping"
        mill.send("call/b")
        assert run.step("b call").status == "completed"
        assert run.step("a nap").status == "sleeping"
        mill.advance("1h")
        assert run.step("a call").status == "waiting"
        mill.advance("10h")
        assert run.output == ["a False", "b True"]


def test_all_are_let_finish_and_the_first_failure_in_order_is_raised(serve):
    app, ran = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> object:
        def fail(name: str) -> None:
            ran.append(name)
            raise NonRetriableError(name)

        def late() -> None:
            ctx.step.sleep("nap", "1h")
            ctx.step.run("late", fail, "late")

        try:
            ctx.step.parallel(
                lambda: ctx.step.run("fine", lambda: ran.append("fine")),
                late,
                lambda: ctx.step.run("early", fail, "early"),
                lambda: ctx.step.run("last", lambda: ran.append("last")),
            )
        except StepError as error:
            return [error.step_id.rpartition("/")[2], error.message]
        return None

    with serve(app) as mill:
        run = mill.send("go").run()
        assert ran == ["fine", "early", "last"]
        assert run.status == "sleeping"
        mill.advance("1h")
        assert run.output == ["late", "late"]
        assert ran == ["fine", "early", "last", "late"]


def test_a_late_bound_loop_variable_is_named(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        return ctx.step.parallel(*[lambda: ctx.step.run(f"item {n}", lambda: n) for n in range(3)])  # noqa: B023 - the mistake

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "item 2" in run.error.message
        assert "loop variable" in run.error.message
        assert run.attempt == 1


def test_nested(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        def inner(name: str):
            return lambda: ctx.step.parallel(
                lambda: ctx.step.run(f"{name} 1", lambda: f"{name}1"),
                lambda: (ctx.step.sleep(f"{name} nap", "1h"), ctx.step.run(f"{name} 2", lambda: f"{name}2"))[1],
            )

        return [ctx.step.parallel(inner("a"), inner("b")), ctx.step.parallel(inner("c"))]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == [[["a1", "a2"], ["b1", "b2"]], [["c1", "c2"]]]
        ids = {step.id for step in run.steps}
        assert {"p0/0/p0/0/a 1", "p0/1/p0/1/b nap", "p1/0/p0/0/c 1"} <= ids


def test_the_same_id_in_two_parallels_and_twice_in_one_branch(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        twice = [lambda: [ctx.step.run("x", lambda: 1), ctx.step.run("x", lambda: 2)]]
        return [
            ctx.step.parallel(*twice),
            ctx.step.parallel(lambda: ctx.step.run("x", lambda: 3)),
            ctx.step.run("x", int),
        ]

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == [[[1, 2]], [3], 0]
        assert [s.id for s in run.steps] == ["p0/0/x", "p0/0/x:1", "p1/0/x", "x"]


def test_each_branch_has_its_own_retries(serve):
    app, left = App("shop"), {"a": 3, "b": 2}

    @app.function(on="go")
    def work(ctx: Context) -> object:
        def flaky(name: str) -> str:
            left[name] -= 1
            if left[name] >= 0:
                raise ValueError(name)
            return name

        return ctx.step.parallel(lambda: ctx.step.run("a", flaky, "a"), lambda: ctx.step.run("b", flaky, "b"))

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == ["a", "b"]
        assert (run.step("a").attempts, run.step("b").attempts) == (4, 3)


def test_no_branch_and_one_that_makes_no_step(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        return [ctx.step.parallel(), ctx.step.parallel(lambda: 1)]

    with serve(app) as mill:
        assert mill.send("go").run().output == [[], [1]]


def test_async_branches(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> object:
        async def slow() -> str:
            await ctx.step.sleep("nap", "1h")
            return await ctx.step.run("slow", lambda: "slow")

        found = await ctx.step.parallel(slow, lambda: ctx.step.run("fast", lambda: "fast"))
        try:
            await ctx.step.parallel(
                lambda: ctx.step.options(retries=0).run("bad", lambda: 1 / 0),
                lambda: ctx.step.run("good", lambda: None),
            )
        except StepError as error:
            found.append(error.type)
        return found

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == ["slow", "fast", "ZeroDivisionError"]
        assert run.step("good").status == "completed"


@pytest.mark.parametrize("call", ["ctx.step.run result", None])
def test_what_is_no_call_is_told(serve, call):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        return ctx.step.parallel(call)

    with serve(app) as mill:
        assert "lambda" in mill.send("go").run().error.message


def test_a_step_in_a_thread_of_the_functions_own_is_told(serve):
    app = App("shop")

    @app.function(on="go", retries=4)
    def work(ctx: Context) -> list[int]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda n: ctx.step.run(f"item {n}", abs, n), range(3)))

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.error.type, run.attempt) == ("failed", "NonRetriableError", 1)
        assert "in a thread that the function has started itself" in run.error.message
