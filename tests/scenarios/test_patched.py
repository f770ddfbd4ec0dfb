"""`ctx.patched`: runs that went the old way keep to it, new ones take the new way, each whenever it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context
from tidemill.core import snapshot
from tidemill.core.journal import Patched
from tidemill.core.state import fold
from tidemill.engine.drive.dry.journal import Recorded
from tidemill.engine.drive.dry.replay import replay
from tidemill.testing import Mill

Code = Callable[[Any], Any]


def app_of(code: Code) -> App:
    app = App("shop")
    app.function(on="go", id="work", retries=3)(code)
    return app


def old(ctx: Context) -> list[str]:
    a = ctx.step.run("charge", lambda: "old charge")
    ctx.step.sleep("nap", "1h")
    return [a, ctx.step.run("mail", lambda: "old mail")]


def new(ctx: Context) -> list[str]:
    if ctx.patched("check first"):
        ctx.step.run("check", lambda: "ok")
    a = ctx.step.run("charge", lambda: "new charge")
    ctx.step.sleep("nap", "1h")
    if ctx.patched("letters"):
        return [a, ctx.step.run("letter", lambda: "new letter")]
    return [a, ctx.step.run("mail", lambda: "old mail")]


async def old_async(ctx: AsyncContext) -> list[str]:
    a = await ctx.step.run("charge", lambda: "old charge")
    await ctx.step.sleep("nap", "1h")
    return [a, await ctx.step.run("mail", lambda: "old mail")]


async def new_async(ctx: AsyncContext) -> list[str]:
    if ctx.patched("check first"):
        await asyncio.gather(ctx.step.run("check", lambda: "ok"), ctx.step.run("look", lambda: "ok"))
    a = await ctx.step.run("charge", lambda: "new charge")
    await ctx.step.sleep("nap", "1h")
    if ctx.patched("letters"):
        return [a, await ctx.step.run("letter", lambda: "new letter")]
    return [a, await ctx.step.run("mail", lambda: "old mail")]


def answers(mill: Mill, run_id: str) -> dict[str, bool]:
    return {each.id: each.new for each in fold(mill._machine.world.runs.read(run_id)).patched.values()}


@pytest.mark.parametrize(("before", "after"), [(old, new), (old_async, new_async)])
def test_an_old_run_keeps_to_the_old_way_and_a_new_one_takes_the_new(serve, before, after):
    with serve(app_of(before)) as mill:
        run = mill.send("go").run()
        mill.reload(app_of(after))
        mill.advance("2h")
        assert (run.status, run.output) == ("completed", ["old charge", "new letter"]), run.error
        assert answers(mill, run.id) == {"check first": False, "letters": True}
        later = mill.send("go").run()
        mill.advance("2h")
        assert later.output == ["new charge", "new letter"]
        assert answers(mill, later.id) == {"check first": True, "letters": True}
        assert "check" in {step["id"] for step in mill.http("GET", f"/v1/runs/{later.id}/steps").json["data"]}


@pytest.mark.parametrize("code", [new, new_async])
def test_the_answer_survives_crashes_and_each_turn(serve, code):
    with serve(app_of(code)) as mill:
        mill.crash("check")
        mill.crash(after="charge")
        run = mill.send("go").run()
        mill.advance("5h")
        assert run.output == ["new charge", "new letter"], run.error
        records = [record for record in mill._machine.world.runs.read(run.id) if isinstance(record, Patched)]
        assert [(record.id, record.new) for record in records] == [("check first", True), ("letters", True)]
        (view, *_) = [each for each in mill.http("GET", f"/v1/runs/{run.id}/journal").json["data"] if "id" in each]
        assert (view["type"], view["id"], view["new"]) == ("patched", "check first", True)


def test_branches_are_asked_for_themselves(serve):
    def before(ctx: Context) -> Any:
        return ctx.step.parallel(
            lambda: [ctx.step.sleep("left", "1h"), ctx.step.run("a", lambda: "a")],
            lambda: [ctx.step.sleep("right", "3h"), ctx.step.run("b", lambda: "b")],
        )

    def after(ctx: Context) -> Any:
        def branch(nap: str, time: str, name: str) -> list[Any]:
            early = ctx.patched(f"early {name}")
            ctx.step.sleep(nap, time)
            late = ctx.patched(f"late {name}")
            return [early, late, ctx.step.run(name, lambda: name)]

        return ctx.step.parallel(lambda: branch("left", "1h", "a"), lambda: branch("right", "3h", "b"))

    with serve(app_of(before)) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        mill.reload(app_of(after))
        mill.advance("4h")
        assert run.output == [[False, False, "a"], [False, True, "b"]], run.error


def test_a_rerun_from_a_step_keeps_the_answers_before_it(serve):
    with serve(app_of(old)) as mill:
        run = mill.send("go").run()
        mill.reload(app_of(new))
        mill.advance("2h")
        body = {"from_step": "letter"}
        again = mill.http("POST", f"/v1/runs/{run.id}/rerun", body).json["data"]["run_id"]
        whole = mill.http("POST", f"/v1/runs/{run.id}/rerun", {}).json["data"]["run_id"]
        mill.advance("2h")
        assert answers(mill, again) == {"check first": False, "letters": True}
        assert answers(mill, whole) == {"check first": True, "letters": True}
        assert mill.http("GET", f"/v1/runs/{again}").json["data"]["output"] == ["old charge", "new letter"]


def test_a_snapshot_holds_it():
    with Mill(app_of(new)) as mill:
        run = mill.send("go").run()
        state = fold(mill._machine.world.runs.read(run.id))
    assert state.patched["check first"].new
    assert snapshot.decode(snapshot.encode(state)).patched == state.patched


@pytest.mark.parametrize(("before", "after"), [(old, new), (old_async, new_async)])
def test_a_dry_replay_answers_alike(before, after):
    with Mill(app_of(before)) as mill:
        run = mill.send("go").run()
        records = mill._machine.world.runs.read(run.id)
        mill.advance("2h")
        ended = mill._machine.world.runs.read(run.id)
    function = app_of(after).functions["shop.work"]
    found = replay(function, Recorded(run.id, records))
    assert (found.difference, dict(found.patched)) == (None, {"check first": False})
    found = replay(function, Recorded(run.id, ended))
    assert (found.difference, dict(found.patched)) == (None, {"check first": False, "letters": False})


def test_in_a_part_of_a_map_the_answer_of_the_whole_counts(serve):
    def code(ctx: Context) -> Any:
        ctx.patched("asked before")
        return ctx.step.map("each", lambda n: [ctx.patched("asked before"), ctx.patched("never asked before")], [1, 2])

    with serve(app_of(code)) as mill:
        run = mill.send("go").run("shop.work")
        assert run.output == [[True, False], [True, False]], run.error


@pytest.mark.parametrize("id", ["", 5, "a\nb", "x" * 300])
def test_what_is_no_id(id):
    def code(ctx: Context) -> bool:
        return ctx.patched(id)

    with Mill(app_of(code)) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert run.error.message.startswith("the id of ctx.patched must ")
