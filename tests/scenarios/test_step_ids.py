"""The ids of steps: what a user may write, and what a journal from before a rule means."""

from __future__ import annotations

import msgspec
import pytest

from tidemill import App, AsyncContext, Context
from tidemill.core.journal import decode
from tidemill.model import Head
from tidemill.testing import Mill


def test_an_id_that_looks_like_a_branchs_key_is_a_step_of_its_own(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[object]:
        first = ctx.step.run("p0/0/resize", lambda: "first")
        inner = ctx.step.parallel(
            lambda: [ctx.step.run("resize", lambda: "branch"), ctx.step.run("~p0/0/resize", lambda: "tilde")],
            lambda: [
                ctx.step.run("p0/0/x", lambda: "x"),
                ctx.step.parallel(lambda: ctx.step.run("x", lambda: "inner")),
            ],
        )
        return [first, *inner, ctx.step.run("~p0/0/resize", lambda: "last")]

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.output == ["first", ["branch", "tilde"], ["x", ["inner"]], "last"]
        assert {step.id for step in run.steps} == {
            "~p0/0/resize", "p0/0/resize", "p0/0/~~p0/0/resize", "p0/1/~p0/0/x", "p0/1/p0/0/x", "~~p0/0/resize",
        }  # fmt: skip
        assert run.steps[0].name == "p0/0/resize"


def test_the_same_in_async_code(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[object]:
        first = await ctx.step.run("p0/0/resize", lambda: "first")
        return [first, *await ctx.step.parallel(lambda: ctx.step.run("resize", lambda: "branch"))]

    with serve(app) as mill:
        assert mill.send("go").run().output == ["first", "branch"]


AT = 1_767_225_600_000
EVENT = {"id": "e1", "name": "go", "data": {}, "ts": AT, "received_at": AT}
OLD = [  # as a version before ids were escaped wrote it
    [0, AT, "shop.work", [EVENT], "", None, None, [], 1, False],
    [1, AT, "x", AT, ""],
    [2, "p9/9/mine", "run", AT, AT, 1, b'"mine"', None],
    [2, "again", "run", AT, AT, 1, b'"one"', None],
    [2, "again:1", "run", AT, AT, 1, b'"two"', None],
    [2, "p0/0/a", "run", AT, AT, 1, b'"a"', None],
    [2, "p0/1/p0/0/b", "run", AT, AT, 1, b'"b"', None],
    [5, AT, AT + 3_600_000, [["p0/1/nap", "sleep", AT, AT + 3_600_000, "", []]]],
]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_old_journal_is_read_as_it_was_written(asynchronous):
    app, ran = App("shop"), []

    if asynchronous:

        @app.function(id="work")
        async def work(ctx: AsyncContext) -> list[object]:
            async def second() -> str:
                (found,) = await ctx.step.parallel(lambda: ctx.step.run("b", ran.append, 5))
                await ctx.step.sleep("nap", "1h")
                return found

            mine = await ctx.step.run("p9/9/mine", ran.append, 1)
            twice = [await ctx.step.run("again", ran.append, n) for n in (2, 3)]
            return [mine, *twice, *await ctx.step.parallel(lambda: ctx.step.run("a", ran.append, 4), second)]

    else:

        @app.function(id="work")
        def plain(ctx: Context) -> list[object]:
            def second() -> object:
                (found,) = ctx.step.parallel(lambda: ctx.step.run("b", ran.append, 5))
                ctx.step.sleep("nap", "1h")
                return found

            mine = ctx.step.run("p9/9/mine", ran.append, 1)
            twice = [ctx.step.run("again", ran.append, n) for n in (2, 3)]
            return [mine, *twice, *ctx.step.parallel(lambda: ctx.step.run("a", ran.append, 4), second)]

    with Mill(app) as mill:
        records = [decode(msgspec.msgpack.encode(record)) for record in OLD]
        head = Head("old", "shop.work", "sleeping", AT, AT + 3_600_000, event_ids=("e1",), started_at=AT)
        assert mill._machine.world.runs.create(head, records)
        mill.advance("2h")
        (run,) = mill.runs()
        assert run.output == ["mine", "one", "two", "a", "b"]
        assert ran == []
