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

    @app.function(on="go", cancel_on=CancelOn("stop"))
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
