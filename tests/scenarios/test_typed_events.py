"""Schemas of events: what does not fit is refused at each door, older data is brought to what the code declares."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import BaseModel

from tidemill import App, AsyncContext, Context, Event, EventError
from tidemill.errors import DeclarationError
from tidemill.testing import Mill


class SignedUp(BaseModel):
    user_id: str
    plan: str = "free"


class SignedUpThen(BaseModel):
    user: str


def shop() -> App:
    app = App("shop")
    app.event("user/signed.up", SignedUpThen, v="1")
    app.event("user/signed.up", SignedUp, v="2")
    return app


def test_data_that_does_not_fit_is_refused_at_the_http_door() -> None:
    app = shop()

    @app.function(on="user/signed.up")
    def greet(ctx: Context) -> Any:
        return ctx.event.v

    with Mill(app) as mill:
        events = [
            {"name": "user/signed.up", "data": {"user_id": "u1"}},
            {"name": "user/signed.up", "data": {"user_id": 3}},
        ]
        answer = mill.http("POST", "/e/dev", events)
        assert answer.status == 400
        assert [(error["index"], error["loc"]) for error in answer.json["errors"]] == [(1, ["data", "user_id"])]
        assert answer.json["error"].startswith(
            "event 1 (user/signed.up) does not fit its schema: data.user_id: 3 is not"
        )
        assert mill.http("POST", "/w/dev/user/signed.up", {"plan": 3}).json["errors"][0]["loc"][0] == "data"
        assert mill.http("GET", "/v1/events").json["data"] == []
        assert mill.runs() == []


def test_an_event_without_a_version_gets_the_newest_and_an_unknown_one_is_refused() -> None:
    app = shop()
    app.event("user/signed.up", SignedUp, v="10")
    with Mill(app) as mill:
        (event_id,) = mill.http("POST", "/e/dev", {"name": "user/signed.up", "data": {"user_id": "u1"}}).json["ids"]
        assert mill.http("GET", f"/v1/events/{event_id}").json["data"]["v"] == "10"
        answer = mill.http("POST", "/e/dev", {"name": "user/signed.up", "data": {"user_id": "u1"}, "v": "3"})
        assert answer.status == 400
        assert answer.json["errors"][0]["loc"] == ["v"]
        assert "there are '1', '2', '10'" in answer.json["error"]


def test_schemas_are_listed_newest_first() -> None:
    with Mill(shop()) as mill:
        rows = mill.http("GET", "/v1/schemas").json["data"]
        assert [(row["name"], row["v"], row["newest"]) for row in rows] == [
            ("user/signed.up", "2", True),
            ("user/signed.up", "1", False),
        ]
        assert rows[0]["schema"]["required"] == ["user_id"]
        assert mill.http("GET", "/v1/schemas?name=other").json["data"] == []
        assert len(mill.http("GET", "/v1/schemas?name=user/signed.up").json["data"]) == 2


@pytest.mark.parametrize("backend", ["memory", "moto"])
def test_app_send_and_mill_send_raise_for_the_caller(backend: str) -> None:
    with Mill(shop(), backend=backend) as mill, pytest.raises(EventError, match=r"data: .user_id. is a required"):
        mill.send("user/signed.up", {"plan": "pro"})


def test_send_event_raises_for_the_caller_and_is_not_retried() -> None:
    app = shop()
    tries = itertools.count(1)

    @app.function(on="go", retries=3)
    def relay(ctx: Context) -> None:
        ctx.step.run("count", lambda: next(tries))
        ctx.step.send_event("tell", {"name": "user/signed.up", "data": {"user_id": 3}})

    @app.function(on="go", retries=3)
    def careful(ctx: Context) -> Any:
        try:
            ctx.step.send_event("tell", {"name": "user/signed.up", "data": {"user_id": 3}})
        except EventError as error:
            first = str(error)
        ctx.step.sleep("a while", "1h")
        ctx.step.send_event("well", {"name": "user/signed.up", "data": {"user_id": "u1"}})
        return first

    with Mill(app, replays=True) as mill:
        sent = mill.send("go")
        run = sent.run("shop.relay")
        assert run.status == "failed"
        assert run.error is not None
        assert (run.error.type, run.attempt) == ("EventError", 1)
        assert "data.user_id: 3 is not of type" in run.error.message
        mill.advance(hours=2)
        told = sent.run("shop.careful")
        assert told.status == "completed"
        assert "data.user_id: 3 is not of type" in told.output
        (event,) = mill.sent("user/signed.up")
        assert event.v == "2"


async def _relay(ctx: Any) -> str:
    try:
        await ctx.step.send_event("tell", {"name": "user/signed.up", "data": {}})
    except EventError as error:
        return str(error)
    return "sent"


def test_send_event_raises_in_async_code() -> None:
    app = shop()
    app.function(on="go", id="relay")(_relay)
    with Mill(app, replays=True) as mill:
        run = mill.send("go").run("shop.relay")
        assert "required" in run.output


def test_older_data_is_brought_to_what_the_code_declares() -> None:
    app = App("shop")
    app.event("user/signed.up", SignedUpThen, v="1")
    newest = app.event("user/signed.up", SignedUp, v="3")
    app.event("user/signed.up", SignedUpThen, v="2")

    @app.upcast("user/signed.up", "1", "2")
    def _one(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "seen": True}

    @app.upcast("user/signed.up", "2", "3")
    def _two(data: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": data["user"], "plan": "old" if data.get("seen") else "new"}

    @app.function(on=newest)
    def typed(ctx: Context[SignedUp]) -> Any:
        return ctx.event.data.model_dump(), ctx.event.v

    @app.function(on=Event("user/signed.up", v="3", when="event.data.user == 'u1'"))
    def plain(ctx: Context) -> Any:
        return ctx.event.data

    @app.function(on="user/signed.up")
    def raw(ctx: Context) -> Any:
        return ctx.event.data

    with Mill(app) as mill:
        sent = mill.send("user/signed.up", {"user": "u1"}, v="1")
        assert sent.run("shop.typed").output == [{"user_id": "u1", "plan": "old"}, "3"]
        assert sent.run("shop.plain").output == {"user_id": "u1", "plan": "old"}  # `when` saw the data as stored
        assert sent.run("shop.raw").output == {"user": "u1"}
        assert mill.send("user/signed.up", {"user": "u2"}, v="2").run("shop.typed").output[0]["plan"] == "new"


@pytest.mark.parametrize("replays", [False, True])
@pytest.mark.parametrize("lookback", [False, True])
def test_a_wait_with_a_model_is_given_the_version_of_that_model(replays: bool, lookback: bool) -> None:
    app = shop()

    @app.upcast("user/signed.up", "1", "2")
    def _newer(data: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": data["user"]}

    @app.function(on="go")
    def plain(ctx: Context) -> Any:
        if lookback:
            ctx.step.sleep("the event comes first", "1h")
        event = ctx.step.wait_for_event("signup", "user/signed.up", model=SignedUp)
        assert event is not None
        ctx.step.sleep("a while", "1d")
        return [event.data.user_id, event.v]

    @app.function(on="go")
    async def later(ctx: AsyncContext) -> Any:
        if lookback:
            await ctx.step.sleep("the event comes first", "1h")
        event = await ctx.step.wait_for_event("signup", "user/signed.up", model=SignedUp)
        assert event is not None
        return [event.data.user_id, event.v]

    with Mill(app, replays=replays) as mill:
        sent = mill.send("go", {"user": "u9"})
        mill.send("user/signed.up", {"user": "u1"}, v="1")
        mill.advance(days=2)
        assert sent.run("shop.plain").output == ["u1", "2"]
        assert sent.run("shop.later").output == ["u1", "2"]


def test_a_gap_fails_the_run_at_once_and_newer_data_passes() -> None:
    app = App("shop")
    for v, model in (("1", SignedUpThen), ("2", SignedUp), ("3", SignedUp)):
        app.event("user/signed.up", model, v=v)

    @app.function(on=Event("user/signed.up", v="2"), retries=4)
    def greet(ctx: Context) -> Any:
        return ctx.event.data

    with Mill(app) as mill:
        run = mill.send("user/signed.up", {"user": "u1"}, v="1").run("shop.greet")
        assert (run.status, run.attempt) == ("failed", 1)
        assert run.error is not None
        assert "write @app.upcast('user/signed.up', '1', '2')" in run.error.message
        assert mill.send("user/signed.up", {"user_id": "u1"}).run("shop.greet").output == {"user_id": "u1"}


def test_what_an_upcast_gave_is_remembered() -> None:
    app = shop()
    numbers = itertools.count(1)

    @app.upcast("user/signed.up", "1", "2")
    def _newer(data: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": data["user"], "number": next(numbers)}

    @app.function(on=Event("user/signed.up", v="2"))
    def greet(ctx: Context) -> Any:
        before = ctx.event.data["number"]
        ctx.step.sleep("a while", "1d")
        return [before, ctx.event.data["number"]] == [ctx.step.run("first", lambda: before)] * 2

    with Mill(app, replays=True) as mill:
        run = mill.send("user/signed.up", {"user": "u1"}, v="1").run("shop.greet")
        mill.advance(days=2)
        assert run.output is True


@pytest.mark.parametrize(
    ("older", "newer", "said"),
    [("2", "1", "is not newer"), ("1", "1", "is not newer"), ("v10", "v9", "is not newer"), ("", "1", "must be text")],
)
def test_an_upcast_leads_to_a_newer_version(older: str, newer: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        App("shop").upcast("a", older, newer)


def test_one_upcast_leads_on_from_a_version() -> None:
    app = App("shop")
    app.upcast("a", "1", "2")(dict)
    with pytest.raises(DeclarationError, match="has an upcast already, to '2'"):
        app.upcast("a", "1", "3")


def test_two_models_for_one_version_are_refused() -> None:
    app = shop()
    with pytest.raises(DeclarationError, match="two schemas for version '2'"):
        app.event("user/signed.up", SignedUpThen, v="2")


def test_what_upcasts_return_must_fit_its_schema() -> None:
    app = shop()
    newest = Event("user/signed.up", SignedUp, v="2")

    @app.upcast("user/signed.up", "1", "2")
    def _newer(data: dict[str, Any]) -> dict[str, Any]:
        return {"user_id": 3} if data["user"] == "u1" else {"user_id": data["user"]}

    @app.function(on=newest, retries=4)
    def typed(ctx: Context[SignedUp]) -> Any:
        return ctx.event.v

    @app.function(on=Event("user/signed.up", v="2"), retries=4)
    def plain(ctx: Context) -> Any:
        return ctx.event.v

    with Mill(app) as mill:
        sent = mill.send("user/signed.up", {"user": "u1"}, v="1")
        for run in (sent.run("shop.typed"), sent.run("shop.plain")):
            assert (run.status, run.attempt) == ("failed", 1)
            assert run.error is not None
            assert "does not fit version '2': data.user_id: 3 is not of type" in run.error.message
            assert "correct the @app.upcast that leads to '2'" in run.error.message
        assert mill.send("user/signed.up", {"user": "u2"}, v="1").run("shop.plain").output == "2"
