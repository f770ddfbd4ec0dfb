"""Who is responsible for an event is responsible for what its run starts."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Batch, Context

USER = {"id": "u1", "email": "a@b.c", "plan": "pro"}
OTHER = {"id": "u2"}


def told(ctx: Context) -> Any:
    return ctx.event.user


def build(sends: Any, **options: Any) -> App:
    app = App("shop")

    @app.function(id="child")
    def child(ctx: Context) -> Any:
        return told(ctx)

    @app.function(id="listener", on="sent")
    def listener(ctx: Context) -> Any:
        return told(ctx)

    @app.function(id="parent", on="go", **options)
    def parent(ctx: Context) -> Any:
        ctx.step.send_event("send", sends)
        return ctx.step.invoke("call", child)

    return app


@pytest.mark.parametrize("named", [None, OTHER], ids=["inherited", "named"])
def test_a_child_inherits_the_user_of_its_parent(serve, named):
    event = {"name": "sent", "data": {}, **({"user": named} if named else {})}
    with serve(build(event)) as mill:
        run = mill.send("go", user=USER).run("shop.parent")
        mill.advance(seconds=2)
        assert run.output == USER
        assert mill.run("shop.listener").output == (named or USER)
        listed = mill.http("GET", "/v1/runs?user=u1").json["data"]
        assert {each["function_id"] for each in listed} == {"shop.parent", "shop.child"} | (
            set() if named else {"shop.listener"}
        )


def test_of_a_batch_the_first_events_user_counts(serve):
    with serve(build({"name": "sent"}, batch=Batch(2, "1m"))) as mill:
        mill.send("go", user=USER)
        mill.send("go", user=OTHER)
        mill.advance(seconds=5)
        assert mill.run("shop.child").output == USER


def test_without_a_user_there_is_none_to_inherit(serve):
    with serve(build({"name": "sent"})) as mill:
        run = mill.send("go").run("shop.parent")
        mill.advance(seconds=2)
        assert run.output is None
