"""Why a run does not go on, of runs that the engine has brought there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tidemill import App, Batch, Concurrency, Context, Debounce, Throttle
from tidemill.engine.runs.why import explain
from tidemill.testing import Mill


def _app() -> App:
    app = App("shop")

    @app.function(on="nap")
    def nap(ctx: Context) -> None:
        ctx.step.sleep("rest", "1h")

    @app.function(on="ask")
    def ask(ctx: Context) -> None:
        ctx.step.wait_for_event("paid", "order/paid", timeout="1d")

    @app.function(on="sign")
    def sign(ctx: Context) -> None:
        ctx.step.wait_for_signal("ok", "approve", timeout="1d")

    @app.function(on="parent")
    def parent(ctx: Context) -> None:
        ctx.step.invoke("child", nap, {})

    @app.function(on="flaky")
    def flaky(ctx: Context) -> None:
        ctx.step.run("call", _fail)

    @app.function(on="one", concurrency=Concurrency(1, key="event.data.user", counts="runs"))
    def one(ctx: Context) -> None:
        ctx.step.sleep("hold", "1h")

    @app.function(on="slow", throttle=Throttle(1, "1h"))
    def slow(ctx: Context) -> None: ...

    @app.function(on="quiet", debounce=Debounce("1h"))
    def quiet(ctx: Context) -> None: ...

    @app.function(on="many", batch=Batch(10, "1h"))
    def many(ctx: Context) -> None: ...

    return app


def _fail() -> None:
    raise ValueError("no")


def _why(mill: Mill, run_id: str) -> Any:
    found = explain(mill._machine.world, run_id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("event", "function", "code", "name"),
    [
        ("nap", "nap", "sleep", None),
        ("ask", "ask", "event", "order/paid"),
        ("sign", "sign", "signal", "approve"),
        ("parent", "parent", "child", "shop.nap"),
        ("flaky", "flaky", "retry", "call"),
        ("quiet", "quiet", "debounce", None),
        ("many", "many", "batch", None),
    ],
)
def test_why_a_run_rests(serve: Callable[..., Mill], event: str, function: str, code: str, name: str | None) -> None:
    with serve(_app()) as mill:
        run = mill.send(event).run(f"shop.{function}")
        status, why = _why(mill, run.run_id)
        assert (status, why.code, why.details.get("name")) == (run.status, code, name)
        assert why.details.get("until") or code == "child"


def test_why_a_run_stands_in_line(serve: Callable[..., Mill]) -> None:
    with serve(_app()) as mill:
        runs = [mill.send("one", {"user": "u1"}).run("shop.one") for _ in range(3)]
        whys = [_why(mill, run.run_id).why for run in runs]
        assert [why.code for why in whys] == ["sleep", "concurrency", "concurrency"]
        assert [why.details["ahead"] for why in whys[1:]] == [0, 1]
        assert whys[2].details == {
            "limit": 1, "key": "u1", "used": 1, "ahead": 1, "holders": [runs[0].run_id],
        }  # fmt: skip
        mill.advance(hours=1)
        assert _why(mill, runs[2].run_id).why.details["ahead"] == 0


def test_why_a_run_waits_for_its_turn(serve: Callable[..., Mill]) -> None:
    with serve(_app()) as mill:
        first, second = (mill.send("slow").run("shop.slow") for _ in range(2))
        assert _why(mill, first.run_id).why.code == "ended"
        status, why = _why(mill, second.run_id)
        assert (status, why.code, why.details["limit"], why.details["period"]) == ("scheduled", "throttle", 1, "1h")


def test_no_run_has_no_reason(serve: Callable[..., Mill]) -> None:
    with serve(_app()) as mill:
        assert explain(mill._machine.world, "nobody") is None
