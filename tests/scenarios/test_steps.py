"""A step runs once and its result is remembered, as itself."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel

from tidemill import App, AsyncContext, Context


@dataclasses.dataclass
class Invoice:
    number: str
    total: Decimal


class Customer(BaseModel):
    name: str
    since: date


EVERYTHING = {
    "dataclass": Invoice("i1", Decimal("19.90")),
    "model": Customer(name="Ada", since=date(2026, 2, 28)),
    "datetime": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "delta": timedelta(days=2),
    "uuid": UUID(int=7),
    "bytes": b"\x00\xff",
    "decimal": Decimal("0.10"),
    "json": [1, 2.5, "three", None, True, {"$": "mine"}],
}


def test_a_step_runs_once_however_often_the_code_runs(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def three(ctx: Context) -> list[str]:
        a = ctx.step.run("a", lambda: calls.append("a") or "A")
        ctx.step.sleep("night", "8h")
        b = ctx.step.run("b", lambda x: calls.append("b") or x + "B", a)
        ctx.step.sleep("day", "16h")
        return [a, b, ctx.step.run("c", lambda x, *, suffix: calls.append("c") or x + suffix, b, suffix="C")]

    with serve(app) as mill:
        run = mill.send("go").run("shop.three")
        assert (run.status, calls) == ("sleeping", ["a"])
        mill.advance("8h")
        assert (run.status, calls) == ("sleeping", ["a", "b"])
        mill.advance("16h")
        assert run.status == "completed"
        assert run.output == ["A", "AB", "ABC"]
        assert calls == ["a", "b", "c"]
        assert [step.id for step in run.steps] == ["a", "night", "b", "day", "c"]
        assert {step.status for step in run.steps} == {"completed"}


def test_values_come_back_as_themselves_at_once_and_from_a_replay(serve):
    app, seen = App("shop"), []

    @app.function(on="go")
    def values(ctx: Context) -> dict:
        everything = ctx.step.run("make", lambda: EVERYTHING)
        seen.append(everything)
        ctx.step.sleep("pause", 1)
        return everything

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(seconds=1)
        assert all(one == EVERYTHING for one in seen)
        assert len(seen) >= 2
        assert run.output == EVERYTHING
        assert run.step("make").output == EVERYTHING


def test_a_tuple_comes_back_as_a_list_the_first_time_too(serve):
    app, seen = App("shop"), []

    @app.function(on="go")
    def pair(ctx: Context) -> None:
        seen.append(ctx.step.run("make", lambda: (1, 2)))

    with serve(app) as mill:
        mill.send("go")
        assert seen[0] == [1, 2]


def test_what_cannot_be_remembered_fails_at_once_and_names_its_place(serve):
    app = App("shop")

    @app.function(on="go", retries=4)
    def bad(ctx: Context) -> None:
        ctx.step.run("make", lambda: {"items": [1, object()]})

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "result.items[1]" in run.error.message or "result['items'][1]" in run.error.message
        assert run.error.step_id == "make"
        assert run.step("make").attempts == 1


def test_an_output_that_cannot_be_remembered_is_not_retried_either(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def bad(ctx: Context) -> object:
        calls.append(1)
        return object()

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1d")
        assert (run.status, run.error.type, len(calls)) == ("failed", "NotSerializable", 1)
        assert "output" in run.error.message


def test_an_id_used_again_gets_a_number(serve):
    app = App("shop")

    @app.function(on="go")
    def loop(ctx: Context) -> list[int]:
        first = [ctx.step.run("page", lambda n=n: n * 10) for n in range(3)]
        ctx.step.sleep("page nap", 1)
        return [*first, ctx.step.run("page", lambda: 30)]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(seconds=1)
        assert run.output == [0, 10, 20, 30]
        assert [s.id for s in run.steps] == ["page", "page:1", "page:2", "page nap", "page:3"]
        assert {s.name for s in run.steps} == {"page", "page nap"}


def test_a_large_result_needs_no_thought(serve):
    app = App("shop")

    @app.function(on="go")
    def large(ctx: Context) -> int:
        text = ctx.step.run("make", lambda: "x" * 3_000_000)
        ctx.step.sleep("pause", 1)
        return len(text)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance(seconds=1)
        assert run.output == 3_000_000


def test_async_steps_may_be_sync_or_async(serve):
    app = App("shop")

    async def later(x: int) -> int:
        return x + 1

    @app.function(on="go")
    async def both(ctx: AsyncContext) -> list[int]:
        return [await ctx.step.run("sync", lambda: 1), await ctx.step.run("async", later, 1)]

    with serve(app) as mill:
        assert mill.send("go").run().output == [1, 2]


def test_a_sync_function_refuses_an_async_step(serve):
    app = App("shop")

    async def later() -> int:
        return 1

    @app.function(on="go")
    def wrong(ctx: Context) -> object:
        return ctx.step.run("x", later)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "is async" in run.error.message


def test_what_code_does_to_its_event_is_forgotten_when_it_runs_again(serve):
    app, seen = App("shop"), []

    @app.function(on="go")
    def untidy(ctx: Context) -> list:
        seen.append((ctx.event.data.pop("x"), ctx.event.data["list"].pop(), ctx.event.user.pop("id")))
        found = ctx.step.wait_for_event("more", "more")
        seen.append((found.data.pop("y"),))
        ctx.step.invoke("child", "other.child")
        ctx.step.sleep("nap", 1)
        return [ctx.event.data, ctx.step.run("id", lambda: ctx.event.id)]

    with serve(app) as mill:
        mill.stub("child", returns=None)
        run = mill.send("go", {"x": 1, "list": [1, 2]}, id="e1", user={"id": "u"}).run()
        mill.send("more", {"y": 3})
        mill.advance(seconds=1)
        assert run.output == [{"list": [1]}, "e1"]
        assert set(seen) == {(1, 2, "u"), (3,)}
        assert mill.event("e1").data == {"x": 1, "list": [1, 2]}


def test_what_the_context_says(serve):
    app = App("shop")

    @app.function(on="go")
    def about(ctx: Context) -> dict:
        event = ctx.event
        return {
            "event": [event.id, event.name, event.data, event.user, event.v, event.ts],
            "events": len(ctx.events),
            "run": ctx.run_id,
            "function": ctx.function_id,
            "attempt": ctx.attempt,
        }

    with serve(app) as mill:
        sent = mill.send("go", {"a": 1}, id="e1", user={"id": "u1"}, v="2")
        run = sent.run()
        assert run.output["event"][:5] == ["e1", "go", {"a": 1}, {"id": "u1"}, "2"]
        assert run.output["events"] == 1
        assert run.output["run"] == run.id
        assert run.output["function"] == "shop.about"
        assert run.output["attempt"] == 1
        assert run.user == "u1"


@pytest.mark.parametrize("caught", [Exception, BaseException])
def test_code_that_swallows_everything_does_not_swallow_a_suspension(serve, caught):
    app, calls = App("shop"), []

    @app.function(on="go")
    def greedy(ctx: Context) -> str:
        try:
            ctx.step.sleep("nap", "1h")
        except caught:
            calls.append("swallowed")
        ctx.step.run("after", lambda: calls.append("after"))
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "sleeping"
        assert "after" not in calls
        mill.advance(hours=1)
        assert run.output == "done"
        assert calls.count("after") == 1
