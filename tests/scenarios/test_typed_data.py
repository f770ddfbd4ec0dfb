"""What one function sends, another takes: by aliases, in JSON mode, whatever the door."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, HttpUrl, field_serializer
from pydantic.dataclasses import dataclass as checked_dataclass

from tidemill import App, AsyncContext, Context, Event


class Order(BaseModel):
    """Strict, and its fields go by other names outside."""

    model_config = ConfigDict(strict=True, populate_by_name=True)

    order_id: UUID = Field(alias="orderId")
    placed: AwareDatetime = Field(alias="placedAt")
    due: date
    total: Decimal
    tags: set[str]
    note: bytes
    link: HttpUrl


ORDER = Order(
    order_id=UUID(int=7),
    placed=datetime(2026, 1, 1, tzinfo=UTC),
    due=date(2026, 2, 1),
    total=Decimal("9.90"),
    tags={"a"},
    note=b"caf\xc3\xa9",
    link=HttpUrl("https://example.com/a"),
)
SENT = {
    "orderId": "00000000-0000-0000-0000-000000000007",
    "placedAt": "2026-01-01T00:00:00Z",
    "due": "2026-02-01",
    "total": "9.90",
    "tags": ["a"],
    "note": "café",
    "link": "https://example.com/a",
}
VALUES = {**SENT, "orderId": ORDER.order_id, "placedAt": ORDER.placed, "due": ORDER.due, "total": ORDER.total}


def taking() -> tuple[App, list[Any]]:
    app, seen = App("taking"), []

    @app.function(id="take", on=Event("order", Order))
    def take(ctx: Context[Order]) -> bool:
        seen.append(ctx.event.data)
        return ctx.event.data == ORDER

    return app, seen


DOORS = {
    "send_event": lambda ctx: ctx.step.send_event("s", {"name": "order", "data": ORDER}),
    "invoke": lambda ctx: ctx.step.invoke("s", "taking.take", ORDER),
    "invoke in a dict": lambda ctx: ctx.step.invoke("s", "taking.take", VALUES),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_strict_model_with_aliases_passes_every_door(serve, door):
    app, _ = taking()
    sender = App("sender")

    @sender.function(on="go")
    def go(ctx: Context) -> None:
        DOORS[door](ctx)

    with serve(app, sender) as mill:
        mill.send("go")
        mill.advance("1s")
        taken = mill.run("taking.take")
        assert (taken.status, taken.output) == ("completed", True), taken.error
        if door != "invoke in a dict":
            assert taken.event.data == SENT


def test_mill_sends_a_model_as_every_door_does(serve):
    app, _ = taking()
    with serve(app) as mill:
        assert mill.send("order", ORDER).run().output is True
        assert mill.invoke("taking.take", ORDER).output is True
        assert mill.send("order", SENT).run().output is True


class Tagged(msgspec.Struct, rename="camel", tag=True):
    order_id: int


@checked_dataclass
class Checked:
    order_id: int = Field(alias="orderId")


@dataclass
class Plain:
    inner: Order
    at: datetime


class Masked(BaseModel):
    card: str

    @field_serializer("card")
    def mask(self, card: str) -> str:
        return f"…{card[-4:]}"


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (Tagged(order_id=1), {"type": "Tagged", "orderId": 1}),
        (Checked(orderId=1), {"orderId": 1}),
        (Plain(ORDER, datetime(2026, 1, 1, tzinfo=UTC)), {"inner": SENT, "at": "2026-01-01T00:00:00+00:00"}),
        ({"orders": [ORDER, {"deep": (ORDER,)}]}, {"orders": [SENT, {"deep": [SENT]}]}),
        ({"raw": b"\xff"}, {"raw": "/w=="}),
        (Masked(card="4242424242424242"), {"card": "…4242"}),
    ],
    ids=["struct", "pydantic dataclass", "dataclass", "nested", "bytes in a dict", "own serializer"],
)
def test_every_class_is_sent_as_it_asks_for(serve, data, sent):
    app = App("shop")

    @app.function(on="order")
    def take(ctx: Context) -> Any:
        return ctx.event.data

    with serve(app) as mill:
        assert mill.send("order", data).run().output == sent


def test_what_cannot_be_sent_names_its_place(serve):
    class Raw(BaseModel):
        note: bytes

    app, calls = App("shop"), []

    @app.function(on="go", retries=3)
    def go(ctx: Context) -> None:
        calls.append(1)
        ctx.step.send_event("s", {"name": "x", "data": {"raw": [Raw(note=b"\xff")]}})

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert len(calls) == 1
        assert "event.data.raw[0]: Raw cannot be sent as JSON" in run.error.message


def test_what_invoke_passes_is_given_as_itself(serve):
    app = App("shop")

    @app.function(id="take")
    def take(ctx: Context) -> Any:
        data = ctx.event.data
        return [type(data["at"]).__name__, type(data["price"]).__name__, data["raw"] == b"\xff"]

    @app.function(on="go")
    def go(ctx: Context) -> Any:
        passed = {"at": datetime(2026, 1, 1, tzinfo=UTC), "price": Decimal("1.50"), "raw": b"\xff"}
        return ctx.step.invoke("take", take, passed)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1s")
        assert run.output == ["datetime", "Decimal", True]
        assert mill.run("shop.take").event.data == {"at": "2026-01-01T00:00:00+00:00", "price": "1.50", "raw": "/w=="}


@pytest.mark.parametrize(("data", "said"), [(5, "data must be an object"), ({"x": object()}, "data.x: a value of")])
def test_what_invoke_cannot_pass_fails_the_run_at_once(serve, data, said):
    app, calls = App("shop"), []

    @app.function(on="go", retries=3)
    def go(ctx: Context) -> Any:
        calls.append(1)
        return ctx.step.invoke("a", "shop.go", data)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert run.error.message.startswith(f"step 'a': {said}")
        assert len(calls) == 1


class Lesson(BaseModel):
    title: str
    at: date


def test_what_is_waited_for_is_typed(serve):
    app = App("school")

    @app.function(on="go")
    def learn(ctx: Context) -> list:
        given = ctx.step.wait_for_event("lesson", "lesson/given", model=Lesson)
        ctx.step.sleep("nap", "1h")
        mark = ctx.step.wait_for_signal("mark", "mark", model=Lesson)
        none = ctx.step.wait_for_signal("none", "none", model=Lesson, timeout="1m")
        return [given.data.at.year, mark.title, none]

    @app.function(on="go")
    async def learn_async(ctx: AsyncContext) -> list:
        given = await ctx.step.wait_for_event("lesson", "lesson/given", model=Lesson)
        await ctx.step.sleep("nap", "1h")
        mark = await ctx.step.wait_for_signal("mark", "mark", model=Lesson)
        none = await ctx.step.wait_for_signal("none", "none", model=Lesson, timeout="1m")
        return [given.data.at.year, mark.title, none]

    with serve(app) as mill:
        runs = mill.send("go").runs
        mill.send("lesson/given", {"title": "tides", "at": "2026-11-30"})
        mill.advance("1h")
        mill.signal("mark", {"title": "good", "at": "2026-12-01"})
        mill.advance("1m")
        assert [run.output for run in runs] == [[2026, "good", None]] * 2


def test_what_is_waited_for_and_does_not_fit_fails_the_run_at_once(serve):
    app = App("school")

    @app.function(on="event")
    def waits(ctx: Context) -> None:
        ctx.step.wait_for_event("lesson", "lesson/given", model=Lesson)

    @app.function(on="signal")
    async def signals(ctx: AsyncContext) -> None:
        await ctx.step.wait_for_signal("mark", "mark", model=Lesson)

    @app.function(on="wrong")
    def wrong(ctx: Context) -> None:
        ctx.step.wait_for_event("lesson", "lesson/given", model=dict)  # type: ignore[type-var]

    with serve(app) as mill:
        runs = [mill.send(name).run() for name in ("event", "signal", "wrong")]
        mill.send("lesson/given", {"title": "tides"}, id="l1")
        mill.signal("mark", 7)
        assert [(run.status, run.attempt) for run in runs] == [("failed", 1)] * 3
        assert "the event l1 (lesson/given) does not fit Lesson: data.at" in runs[0].error.message
        assert "the signal 'mark' does not fit Lesson" in runs[1].error.message
        assert "model= takes a Pydantic model" in runs[2].error.message
