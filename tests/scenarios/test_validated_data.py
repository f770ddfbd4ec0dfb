"""What a model draws when it validates an event is drawn once, whatever the run does after it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

from tidemill import App, AsyncContext, Batch, Context, Event


class Order(BaseModel):
    number: int
    token: UUID = Field(default_factory=uuid4)
    tags: list[str] = []


class Plain(BaseModel):
    number: int
    tags: list[str] = Field(default_factory=list)


def test_a_default_factory_gives_one_value_for_the_whole_run(serve):
    app, seen = App("shop"), []

    @app.function(on=Event("order", Order))
    def work(ctx: Context[Order]) -> bool:
        seen.append(ctx.event.data.token)
        first = ctx.step.run("first", lambda: ctx.event.data.token)
        ctx.step.sleep("night", "1d")
        ctx.step.sleep("day", "1d")
        return first == ctx.event.data.token

    with serve(app) as mill:
        run = mill.send("order", {"number": 1}).run()
        mill.advance(days=3)
        assert run.output is True
        assert len(set(seen)) == 1


def test_it_is_remembered_before_the_first_step_fails(serve):
    app, seen = App("shop"), []

    @app.function(on=Event("order", Order), retries=2)
    async def work(ctx: AsyncContext[Order]) -> str:
        seen.append(ctx.event.data.token)
        if ctx.attempt < 3:
            raise ValueError("not yet")
        return str(ctx.event.data.token)

    with serve(app) as mill:
        run = mill.send("order", {"number": 1}).run()
        mill.advance(minutes=1)
        assert run.status == "completed"
        assert {str(token) for token in seen} == {run.output}


def test_each_event_of_a_batch_keeps_its_own(serve):
    app, seen = App("shop"), []

    @app.function(on=Event("order", Order), batch=Batch(2, "1m"))
    def work(ctx: Context[Order]) -> int:
        seen.append(tuple(event.data.token for event in ctx.events))
        ctx.step.sleep("night", "1d")
        return len(set(ctx.events))

    with serve(app) as mill:
        mill.send("order", {"number": 1})
        mill.send("order", {"number": 2})
        mill.advance(days=2)
        assert len(set(seen)) == 1
        assert len(set(seen[0])) == 2


def test_the_items_of_a_map_see_what_their_run_saw(serve):
    app = App("shop")

    @app.function(on=Event("order", Order))
    def work(ctx: Context[Order]) -> bool:
        token = ctx.event.data.token
        return ctx.step.map("each", lambda _: str(token), [1, 2, 3]) == [str(token)] * 3

    with serve(app) as mill:
        run = mill.send("order", {"number": 1}).run()
        mill.advance(seconds=5)
        assert run.output is True


def test_a_rerun_from_a_step_keeps_what_the_copied_steps_saw(serve):
    app = App("shop")

    @app.function(on=Event("order", Order))
    def work(ctx: Context[Order]) -> list[str]:
        first = ctx.step.run("first", lambda: str(ctx.event.data.token))
        return [first, ctx.step.run("second", lambda: str(ctx.event.data.token))]

    def again(mill: Any, run_id: str, **body: Any) -> Any:
        new_id = mill.http("POST", f"/v1/runs/{run_id}/rerun", body).json["data"]["run_id"]
        mill.advance(seconds=1)
        return mill.http("GET", f"/v1/runs/{new_id}").json["data"]["output"]

    with serve(app) as mill:
        run = mill.send("order", {"number": 1}).run()
        assert again(mill, run.id, from_step="second") == run.output
        other = again(mill, run.id)
        assert other[0] == other[1] != run.output[0]


def test_data_that_validates_alike_is_not_remembered(serve):
    app = App("shop")

    @app.function(on=Event("order", Plain))
    def work(ctx: Context[Plain]) -> int:
        return ctx.step.run("first", lambda: ctx.event.data.number)

    with serve(app) as mill:
        run = mill.send("order", {"number": 1}).run()
        journal = mill.http("GET", f"/v1/runs/{run.id}").json["data"]["journal"]
        assert "validated" not in [record["type"] for record in journal]
