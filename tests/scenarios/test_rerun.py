"""Running it again, from the start or from one of its steps."""

from __future__ import annotations

import pytest

from tidemill import App, Context


def shop():
    app = App("shop")
    app.calls = []  # type: ignore[attr-defined]

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> list:
        a = ctx.step.run("a", lambda: app.calls.append("a") or ctx.event.data["n"])  # type: ignore[attr-defined]
        ctx.step.sleep("nap", "1h")
        b = ctx.step.run("b", lambda: app.calls.append("b") or ctx.event.data["n"])  # type: ignore[attr-defined]
        c = ctx.step.run("c", lambda: app.calls.append("c") or 10 // b)  # type: ignore[attr-defined]
        return [a, b, c]

    return app


def test_from_the_start(serve):
    app = shop()
    with serve(app) as mill:
        run = mill.send("go", {"n": 2}).run()
        mill.advance("1h")
        again = run.rerun()
        assert again != run
        mill.advance("1h")
        assert again.output == run.output == [2, 2, 5]
        assert app.calls == ["a", "b", "c", "a", "b", "c"]
        assert again.event_ids == run.event_ids


def test_from_a_step_with_another_input(serve):
    app = shop()
    with serve(app) as mill:
        run = mill.send("go", {"n": 0}).run()
        mill.advance("1h")
        assert run.error.type == "ZeroDivisionError"
        again = run.rerun(from_step="b", input={"n": 5})
        assert again.output == [0, 5, 2]
        assert app.calls == ["a", "b", "c", "b", "c"]
        assert run.status == "failed"


def test_from_a_step_that_is_not_there(serve):
    with serve(shop()) as mill:
        run = mill.send("go", {"n": 1}).run()
        with pytest.raises(LookupError, match="it has: a, nap"):
            run.rerun(from_step="zzz")


def test_an_event_that_cancelled_the_old_run_does_not_cancel_the_new(serve):
    from tidemill import CancelOn

    app = App("shop")

    @app.function(on="go", cancel_on=CancelOn("stop", when="true"))
    def work(ctx: Context) -> str:
        ctx.step.sleep("nap", "1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("stop")
        again = run.rerun()
        mill.advance("1h")
        assert (run.status, again.output) == ("cancelled", "done")
        third = run.rerun()
        mill.send("stop")
        assert third.status == "cancelled"


def test_an_edited_input_is_the_events_data_for_waits_and_cancels_too(serve):
    from tidemill import CancelOn

    app = App("shop")

    @app.function(on="order", cancel_on=[CancelOn("withdrawn", match="data.order")])
    def pay(ctx: Context) -> str:
        paid = ctx.step.wait_for_event("paid", "paid", match="data.order", timeout="1d")
        when = "async.data.by == event.data.order"
        told = ctx.step.wait_for_event("told", "told", when=when, timeout="1d", lookback=False)
        return f"{paid and paid.data['n']} {told and told.data['n']}"

    with serve(app) as mill:
        run = mill.send("order", {"order": "old"}).run()
        again = run.rerun(input={"order": "new"})
        mill.send("withdrawn", {"order": "old"})
        assert (run.status, again.status) == ("cancelled", "waiting")
        mill.send("paid", {"order": "old", "n": 1})
        assert again.status == "waiting"
        mill.send("paid", {"order": "new", "n": 2})
        mill.send("told", {"by": "old", "n": 3})
        mill.send("told", {"by": "new", "n": 4})
        assert again.output == "2 4"
        third = again.rerun(from_step="told")
        mill.send("told", {"by": "new", "n": 5})
        assert third.output == "2 5"


def test_from_a_step_the_race_before_it_has_the_same_winner(serve):
    import asyncio

    from tidemill import AsyncContext

    app = App("shop")

    @app.function(on="go")
    async def races(ctx: AsyncContext) -> str:
        waits = asyncio.ensure_future(ctx.step.wait_for_event("wait", "came"))
        await ctx.step.sleep("night", "8h")
        works = asyncio.ensure_future(ctx.step.run("work", lambda: "work"))
        done, _ = await asyncio.wait([waits, works], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(waits, works)
        first = "wait" if waits in done else "work"
        await ctx.step.run("last", lambda: None)
        return first

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("came")
        mill.advance("8h")
        assert run.status == "completed"
        assert run.rerun(from_step="last").output == run.output


def test_the_same_id_again_is_the_same_rerun(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> int:
        calls.append(1)
        return len(calls)

    with serve(app) as mill:
        run = mill.send("go").run()
        calls.clear()

        def again(**body: object) -> str:
            return mill.http("POST", f"/v1/runs/{run.id}/rerun", body).json["data"]["run_id"]

        first = again(id="r1")
        mill.advance(seconds=1)
        assert again(id="r1") == first
        mill.advance(seconds=1)
        assert len(mill.runs("shop.work")) == 2
        assert again(id="r2") != first
        assert again() not in (first, run.id)
        refused = mill.http("POST", f"/v1/runs/{run.id}/rerun", {"id": "a\nb"})
        assert refused.status == 400
        assert "control characters" in refused.json["error"]


def test_a_rerun_finds_a_step_by_the_id_that_the_code_wrote(serve):
    app, calls = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> int:
        ctx.step.run("first", lambda: calls.append("first"))
        ctx.step.run("p0/0/x", lambda: calls.append("x"))
        return len(calls)

    with serve(app) as mill:
        run = mill.send("go").run()
        calls.clear()
        assert mill.http("POST", f"/v1/runs/{run.id}/rerun", {"from_step": "p0/0/x"}).status == 200
        mill.advance(seconds=1)
        assert set(calls) == {"x"}
