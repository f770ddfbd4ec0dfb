"""`Mill(app, backend="moto")`: what it is beyond its backend is told by the scenarios, which run on it, too."""

from __future__ import annotations

import sys

import pytest

from tidemill import App, Context
from tidemill.testing import Mill

app = App("shop")


@app.function(on="go")
def work(ctx: Context) -> str:
    large = ctx.step.run("large", lambda: "x" * 200_000)
    ctx.step.sleep("night", "8h")
    ctx.step.send_event("tell", {"name": "told", "data": {"text": large}})
    answer = ctx.step.wait_for_event("answer", "answered", match="data.id", timeout="3d")
    return answer.data["text"] if answer is not None else "none"


@app.function(on="told")
def hear(ctx: Context) -> int:
    return len(ctx.event.data["text"])


def test_a_story_on_the_adapters_of_aws() -> None:
    with Mill(app, backend="moto") as mill:
        run = mill.send("go", {"id": 1}).run(work)
        assert run.status == "sleeping"
        mill.advance("8h")
        assert run.status == "waiting"
        assert mill.run(hear).output == 200_000
        assert [event.name for event in mill.sent()] == ["told"]
        mill.send("answered", {"id": 2, "text": "other"})
        mill.send("answered", {"id": 1, "text": "mine"})
        assert (run.status, run.output) == ("completed", "mine")
        assert mill.http("GET", f"/v1/runs/{run.id}").json["data"]["status"] == "completed"
        (shown,) = mill.http("GET", "/v1/events?name=told").json["data"]
        assert shown["data"] == {"text": "x" * 200_000}


def test_mills_do_not_meet() -> None:
    with Mill(app, backend="moto") as one, Mill(App("other"), backend="moto") as other:
        one.send("go", {"id": 1}, id="e1")
        assert len(one.runs()) == 1
        assert other.runs() == []
        assert other.event("e1") is None


def test_what_a_mill_on_moto_holds_can_be_looked_at_when_it_is_closed() -> None:
    with Mill(app, backend="moto") as mill:
        run = mill.send("go", {"id": 1}).run(work)
    assert run.status == "sleeping"


def test_a_reload_takes_up_what_was_held() -> None:
    with Mill(app, backend="moto") as mill:
        run = mill.send("go", {"id": 1}).run(work)
        mill.reload(App("other"))
        mill.advance("8h")
        assert run.reason is not None
        mill.reload(app)
        assert run.status == "waiting"


def test_without_moto_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "moto"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "moto", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs the package 'moto': pip install tidemill\[moto\]"):
        Mill(app, backend="moto")
