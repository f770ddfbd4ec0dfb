"""Events sent from code, exactly once in effect."""

from __future__ import annotations

import pytest

from tidemill import App, AsyncContext, Context, EventError


def test_each_event_is_sent_once_however_often_the_code_runs(serve):
    app = App("shop")

    @app.function(on="go")
    def send(ctx: Context) -> list:
        ids = ctx.step.send_event("tell", {"name": "a", "data": {"n": 1}})
        ctx.step.sleep("nap", "1h")
        more = ctx.step.send_event("tell all", [{"name": "a", "data": {"n": 2}}, {"name": "b", "user": {"id": "u"}}])
        return [ids, more]

    @app.function(on="a")
    def hear(ctx: Context) -> int:
        return ctx.event.data["n"]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        first, more = run.output
        assert [e.id for e in mill.sent()] == [*first, *more]
        assert [e.data for e in mill.sent("a")] == [{"n": 1}, {"n": 2}]
        assert [e.user for e in mill.sent("b")] == [{"id": "u"}]
        assert [r.output for r in mill.runs("shop.hear")] == [1, 2]


def test_a_process_that_dies_after_sending_sends_nothing_twice(serve):
    app = App("shop")

    @app.function(on="go")
    def send(ctx: Context) -> object:
        return ctx.step.send_event("tell", {"name": "a"})

    @app.function(on="a")
    def hear(ctx: Context) -> None: ...

    with serve(app) as mill:
        mill.crash(after="tell")
        run = mill.send("go").run()
        assert run.status == "completed"
        assert len(mill.sent("a")) == len(mill.runs("shop.hear")) == 1


def test_an_id_of_ones_own_is_kept_and_idempotent(serve):
    app = App("shop")

    @app.function(on="go")
    def send(ctx: Context) -> object:
        return ctx.step.send_event("tell", {"name": "a", "id": "only-one"})

    @app.function(on="a")
    def hear(ctx: Context) -> None: ...

    with serve(app) as mill:
        assert [mill.send("go").run().output, mill.send("go").run().output] == [["only-one"], ["only-one"]]
        assert len(mill.runs("shop.hear")) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "tidemill/function.failed"},
        {"data": {}},
        {"name": "a", "dta": {}},
        {"name": "a", "data": {"x": "\uffff"}},
        [],
    ],
)
def test_what_is_no_event_is_told(serve, bad):
    app = App("shop")

    @app.function(on="go")
    def send(ctx: Context) -> object:
        return ctx.step.send_event("tell", bad)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "'tell'" in run.error.message
        with pytest.raises(EventError):
            mill.send([bad] if bad else [])


def test_app_send_goes_to_the_mill_from_the_test_and_from_code(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        return ctx.step.run("send", app.send, "heard", {"by": "step"})

    @app.function(on="go async")
    async def later(ctx: AsyncContext) -> object:
        async def send() -> object:
            return await app.asend("heard", {"by": "async"})

        return await ctx.step.run("send", send)

    @app.function(on="heard")
    def hear(ctx: Context) -> str:
        return ctx.event.data["by"]

    with serve(app) as mill:
        ids = app.send("heard", {"by": "test"})
        assert mill.runs("shop.hear")[0].event_ids == tuple(ids)
        mill.send("go")
        mill.send("go async")
        assert [r.output for r in mill.runs("shop.hear")] == ["test", "step", "async"]
        assert [e.data["by"] for e in mill.sent("heard")] == ["test", "step", "async"]
    assert app.transport is None


def test_a_sent_event_wakes_its_own_sender(serve):
    app = App("shop")

    @app.function(on="go")
    def both(ctx: Context) -> object:
        ctx.step.send_event("tell", {"name": "echo", "data": {"x": 1}})
        found = ctx.step.wait_for_event("hear", "echo", timeout="1h")
        return found and found.data

    with serve(app) as mill:
        assert mill.send("go").run().output == {"x": 1}


def test_a_delayed_event_from_code(serve):
    app = App("shop")

    @app.function(on="go")
    def send(ctx: Context) -> object:
        return ctx.step.send_event("tell", {"name": "later", "ts": ctx.event.ts + 3_600_000})

    @app.function(on="later")
    def hear(ctx: Context) -> None: ...

    with serve(app) as mill:
        mill.send("go")
        later = mill.run("shop.hear")
        assert later.status == "scheduled"
        mill.advance("1h")
        assert later.status == "completed"
