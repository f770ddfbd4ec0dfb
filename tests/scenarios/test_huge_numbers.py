"""Whole numbers of more than 64 bits: no event can hold one, so each door refuses it; what a run returns is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from tidemill import App, Context, EventError
from tidemill.testing import Mill


class Model(BaseModel):
    n: int


@dataclass
class Data:
    n: int


MAKE: dict[str, Callable[[int], Any]] = {
    "dict": lambda n: {"n": n},
    "list": lambda n: {"n": [{"$": n}]},
    "model": lambda n: Model(n=n),
    "dataclass": lambda n: Data(n),
}
HUGE = [2**64, -(2**63) - 1, 2**70, 2**5_000]
SENTENCE = "a whole number in it has more than 64 bits; send it as text"

app = App("shop")
got: list[Any] = []


@app.function(on="sent", retries=0)
def receiver(ctx: Context) -> None:
    got.append(ctx.event.data)


@app.function(on="asked", retries=0)
def sender(ctx: Context) -> None:
    data = MAKE[ctx.event.data["kind"]](int(ctx.event.data["n"], 16))
    door = ctx.event.data["door"]
    if door == "step.send_event":
        ctx.step.send_event("send", {"name": "sent", "data": data})
    elif door == "step.invoke":
        ctx.step.invoke("send", receiver, data)
    else:
        ctx.step.run("send", lambda: app.send("sent", data))


@app.function(on="number", retries=0)
def returns(ctx: Context) -> int:
    number = ctx.step.run("make", lambda: int(ctx.event.data["n"], 16))
    ctx.step.sleep("a while", "1m")
    return number


@app.function(on="tidemill/function.finished")
def ended(ctx: Context) -> None:
    if ctx.event.data["function_id"] == returns.id:
        got.append(ctx.event.data["output"])


@app.function(on="waits", retries=0)
def waits(ctx: Context) -> Any:
    return ctx.step.wait_for_signal("wait", "number")


@pytest.mark.parametrize("door", ["step.send_event", "step.invoke", "app.send"])
@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("number", HUGE, ids=["2^64", "-2^63-1", "2^70", "2^5000"])
def test_a_door_of_the_code_refuses_it(door: str, kind: str, number: int) -> None:
    got.clear()
    with Mill(app) as mill:
        run = mill.send("asked", {"door": door, "kind": kind, "n": hex(number)}).run()
        assert run.status == "failed"
        assert SENTENCE in run.error.message
        assert got == []


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("number", HUGE, ids=["2^64", "-2^63-1", "2^70", "2^5000"])
def test_a_door_of_a_test_refuses_it(kind: str, number: int) -> None:
    with Mill(app) as mill:
        run = mill.send("waits").run()
        with pytest.raises(EventError, match=SENTENCE):
            mill.send("sent", MAKE[kind](number))
        with pytest.raises(TypeError, match=SENTENCE):
            mill.signal("number", MAKE[kind](number))
        assert run.status == "waiting"


@pytest.mark.parametrize("backend", ["memory", "moto"])
@pytest.mark.parametrize("door", ["step.send_event", "step.invoke", "app.send"])
@pytest.mark.parametrize("number", [2**64 - 1, 2**63, -(2**63)], ids=["2^64-1", "2^63", "-2^63"])
def test_the_largest_arrive_as_they_are(door: str, number: int, backend: str) -> None:
    got.clear()
    with Mill(app, backend=backend) as mill:
        run = mill.send("asked", {"door": door, "kind": "dict", "n": hex(number)}).run()
        assert run.status == "completed"
        assert got == [{"n": number}]


@pytest.mark.parametrize("backend", ["memory", "moto"])
@pytest.mark.parametrize("number", HUGE, ids=["2^64", "-2^63-1", "2^70", "2^5000"])
def test_a_run_that_returns_one_ends_and_its_end_is_announced(number: int, backend: str) -> None:
    got.clear()
    with Mill(app, backend=backend) as mill:
        run = mill.send("number", {"n": hex(number)}).run(returns)
        mill.advance("1m")
        assert (run.status, run.output) == ("completed", number)
        assert [int(each, 16 if each.lstrip("-").startswith("0x") else 10) for each in got] == [number]
