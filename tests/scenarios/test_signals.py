"""Human in the loop: a signal brings its data."""

from __future__ import annotations

import pytest

from tidemill import App, AsyncContext, Context


def shop():
    app = App("shop")

    @app.function(on="draft/written")
    def publish(ctx: Context) -> object:
        return ctx.step.wait_for_signal("review", f"review-{ctx.event.data['id']}", timeout="7d")

    return app


@pytest.mark.parametrize("data", [{"ok": True}, "yes", 3, None, [1]])
def test_its_data_is_the_result(serve, data):
    with serve(shop()) as mill:
        run = mill.send("draft/written", {"id": 1}).run()
        other = mill.send("draft/written", {"id": 2}).run()
        assert run.step("review").kind == "signal"
        assert mill.signal("review-1", data) == [run]
        assert (run.status, run.output, other.status) == ("completed", data, "waiting")
        assert run.step("review").output == data


def test_none_at_the_timeout(serve):
    with serve(shop()) as mill:
        run = mill.send("draft/written", {"id": 1}).run()
        mill.advance("7d")
        assert (run.status, run.output) == ("completed", None)
        assert mill.signal("review-1", "too late") == []


def test_one_sent_since_the_runs_event_is_found(serve):
    app = App("shop")

    @app.function(on="go")
    async def late(ctx: AsyncContext) -> list:
        await ctx.step.sleep("first", "1h")
        return [await ctx.step.wait_for_signal("a", "ok"), await ctx.step.wait_for_signal("b", "ok", timeout="1h")]

    with serve(app) as mill:
        mill.signal("ok", "before the run")
        run = mill.send("go").run()
        assert mill.signal("ok", "early") == []
        mill.advance("1h")
        assert run.status == "waiting", "the same signal is not found twice"
        mill.signal("ok", "second")
        assert run.output == ["early", "second"]


def test_all_who_wait_get_it(serve):
    app = App("shop")

    @app.function(on="go")
    def wait(ctx: Context) -> object:
        return ctx.step.wait_for_signal("x", "start")

    with serve(app) as mill:
        runs = [mill.send("go").run() for _ in range(3)]
        assert set(mill.signal("start", 1)) == set(runs)
        assert [run.output for run in runs] == [1, 1, 1]


def test_no_function_can_listen_for_signals_as_events(serve):
    app = App("shop")

    @app.function(on=["*", "tidemill/*"])
    def nosy(ctx: Context) -> None: ...

    with serve(app) as mill:
        mill.signal("secret", 1)
        assert mill.runs() == []
