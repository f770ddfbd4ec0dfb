"""A step that runs another function and waits for what it gives."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

from tidemill import App, AsyncContext, Context, Event, StepError, StepTimeoutError


class Order(BaseModel):
    number: int


app, other = App("shop"), App("billing")
fails = [False]


@other.function(on=Event("order/placed", Order))
def charge(ctx: Context[Order]) -> dict:
    ctx.step.sleep("bank", "1h")
    if fails[0]:
        ctx.step.options(retries=0).run("broken", lambda: 1 / 0)
    return {"charged": ctx.event.data.number, "at": ctx.event.name}


@app.function(on="go")
def checkout(ctx: Context) -> object:
    return ctx.step.invoke("charge", charge, {"number": ctx.event.data["n"]})


@app.function(on="go by id")
async def by_id(ctx: AsyncContext) -> object:
    try:
        return await ctx.step.invoke("charge", "billing.charge", Order(number=3), timeout=ctx.event.data.get("timeout"))
    except StepTimeoutError as error:
        return ["timeout", error.type, error.step_id]
    except StepError as error:
        return ["failed", error.type, str(error)]


@app.function(on="go nowhere")
def nowhere(ctx: Context) -> object:
    return ctx.step.invoke("x", "billing.chargge")


def test_its_output_is_the_result(serve):
    fails[0] = False
    with serve(app, other) as mill:
        run = mill.send("go", {"n": 7}).run()
        child = mill.run("billing.charge")
        assert (run.status, child.status, child.parent_run_id) == ("waiting", "sleeping", run.id)
        assert child.event.name == "tidemill/function.invoked"
        assert child.event.data == {"number": 7}
        mill.advance("1h")
        assert run.output == child.output == {"charged": 7, "at": "tidemill/function.invoked"}
        assert run.step("charge").kind == "invoke"


def test_by_id_with_a_model(serve):
    fails[0] = False
    with serve(app, other) as mill:
        run = mill.send("go by id").run()
        mill.advance("1h")
        assert run.output["charged"] == 3


def test_its_failure_is_a_step_error(serve):
    fails[0] = True
    with serve(app, other) as mill:
        caught, uncaught = mill.send("go by id").run(), mill.send("go", {"n": 1}).run()
        mill.advance("1h")
        assert caught.output == ["failed", "ZeroDivisionError", "division by zero"]
        assert (uncaught.status, uncaught.error.type) == ("failed", "ZeroDivisionError")
        assert uncaught.error.step_id == uncaught.step("charge").error.step_id == "charge"
        assert uncaught.attempt == 1


def test_a_timeout(serve):
    fails[0] = False
    with serve(app, other) as mill:
        run = mill.send("go by id", {"timeout": "10m"}).run()
        mill.advance("10m")
        assert run.output == ["timeout", "StepTimeoutError", "charge"]
        assert run.ended_at - run.started_at == timedelta(minutes=10)
        mill.advance("1h")
        assert mill.run("billing.charge").status == "completed", "what was invoked goes on"


def test_a_cancelled_child_is_a_failure(serve):
    with serve(app, other) as mill:
        run = mill.send("go by id").run()
        mill.run("billing.charge").cancel("not today")
        assert run.output[0] == "failed"
        assert "not today" in run.output[2]


def test_a_function_that_does_not_exist(serve):
    with serve(app, other) as mill:
        run = mill.send("go nowhere").run()
        assert run.status == "failed"
        assert "billing.chargge" in run.error.message


def test_data_that_does_not_fit_its_model(serve):
    app = App("shop")

    @app.function(on=Event("x", Order))
    def typed(ctx: Context[Order]) -> int:
        return ctx.event.data.number

    with serve(app) as mill:
        run = mill.invoke(typed, {"number": "many"})
        assert run.status == "failed"
        assert "data.number" in run.error.message
        assert run.attempt == 1


def test_many_children_side_by_side(serve):
    app = App("shop")

    @app.function()
    def square(ctx: Context) -> int:
        ctx.step.sleep("think", "1m")
        return ctx.event.data["n"] ** 2

    @app.function(on="go")
    def all_of_them(ctx: Context) -> list[int]:
        calls = [lambda n=n: ctx.step.invoke(f"square {n}", square, {"n": n}) for n in range(5)]
        return ctx.step.parallel(*calls)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == [0, 1, 4, 9, 16]


def test_the_user_is_handed_down(serve):
    fails[0] = False
    with serve(app, other) as mill:
        mill.send("go", {"n": 1}, user={"id": "u9"})
        assert mill.run("billing.charge").user == "u9"
