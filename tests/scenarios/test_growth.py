"""What a run costs grows with what it does, not with its square: calls, bytes written and bytes read at n and at 2n.

Measured where it is paid: at SQLite, and at what would go to AWS over the network. One process does all
the work, so it is warm: of a run that wakes up n times it reads each time only what is newer than what it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tidemill import App, AsyncContext, Batch, Context, Debounce
from tidemill.aws.calls.transport import Reply, Request
from tidemill.testing import Mill
from tidemill_local.store.database import Database
from tidemill_local.testing import mill as mills
from tidemill_local.testing import moto
from tidemill_local.testing.aws import InMoto

MOST = 2.4
app = App("shop")


@app.function(on="gathers")
async def gathers(ctx: AsyncContext) -> int:
    n = ctx.event.data["n"]
    return sum(await asyncio.gather(*[ctx.step.run(f"step {i}", lambda i=i: i) for i in range(n)]))


@app.function(on="steps")
def steps(ctx: Context) -> int:
    return sum(ctx.step.run(f"step {i}", lambda i=i: i) for i in range(ctx.event.data["n"]))


@app.function(on="loops")
def loops(ctx: Context) -> int:
    return sum(ctx.step.wait_for_event(f"wait {i}", "tick").data["i"] for i in range(ctx.event.data["n"]))


@app.function(on="debounced", debounce=Debounce("1s"))
def debounced(ctx: Context) -> int:
    return sum(ctx.step.wait_for_event(f"wait {i}", "tick").data["i"] for i in range(ctx.event.data["n"]))


@app.function(on="batched", batch=Batch(2, "1s"))
def batched(ctx: Context) -> int:
    return sum(ctx.step.wait_for_event(f"wait {i}", "tick").data["i"] for i in range(ctx.event.data["n"]))


def waited_by_own_event(ctx: Context) -> int:
    """The event that started the run is needed anew for each event that may satisfy the wait."""
    when = "async.data.i >= 0 && async.data.text.size() > event.data.n - 10000"
    return sum(ctx.step.wait_for_event(f"wait {i}", "tick", when=when).data["i"] for i in range(ctx.event.data["n"]))


@app.function(on="debounced-asks", debounce=Debounce("1s"))
def debounced_asks(ctx: Context) -> int:
    return waited_by_own_event(ctx)


@app.function(on="batched-asks", batch=Batch(2, "1s"))
def batched_asks(ctx: Context) -> int:
    return waited_by_own_event(ctx)


@app.function(on="waits-together")
def waits_together(ctx: Context) -> int:
    def wait(i: int) -> Callable[[], Any]:
        return lambda: ctx.step.wait_for_event(f"wait {i}", "tock", when=f"async.data.i == {i}")

    return len(ctx.step.parallel(*[wait(i) for i in range(ctx.event.data["n"])]))


@app.function()
def child(ctx: Context) -> str:
    return "x" * 2_000


@app.function(on="invokes")
def invokes(ctx: Context) -> int:
    return sum(len(ctx.step.invoke(f"call {i}", child, {"text": "y" * 2_000})) for i in range(ctx.event.data["n"]))


@app.function(on="maps")
def maps(ctx: Context) -> int:
    return len(ctx.step.map("each", lambda item: len(item), ["z" * 2_000] * ctx.event.data["n"]))


def alone(mill: Mill, name: str, n: int) -> None:
    assert mill.send(name, {"n": n}).run().status == "completed"


def ticking(mill: Mill, name: str, n: int) -> None:
    run = mill.send(name, {"n": n}).run()
    event = "tock" if name == "waits-together" else "tick"
    for i in range(n):
        mill.advance("2m")
        mill.send(event, {"i": i, "text": "w" * 1_000})
    assert run.status == "completed"


@dataclass
class Used:
    calls: int = 0
    written: int = 0
    read: int = 0

    def minus(self, other: Used) -> Used:
        return Used(self.calls - other.calls, self.written - other.written, self.read - other.read)


def size(values: Any) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in values)


@pytest.fixture
def used(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Used]:
    """What is used of the stores that this test's Mill is on."""
    used = Used()
    if request.getfixturevalue("backend") == "moto":
        inner = moto.MotoTransport()

        def meter(request: Request) -> Reply:
            reply = inner(request)
            used.calls += 1
            used.written += len(request.body)
            used.read += len(reply.body)
            return reply

        monkeypatch.setattr(mills, "_stores", lambda _, clock: InMoto(clock, moto.client(meter)))
        yield used
        return
    write, rows = Database.write, Database.rows

    def written(self: Database, sql: str, values: Any = ()) -> Any:
        used.calls += 1
        used.written += size(values)
        return write(self, sql, values)

    def found(self: Database, sql: str, values: Any = ()) -> Any:
        answer = rows(self, sql, values)
        used.calls += 1
        used.read += sum(map(size, answer))
        return answer

    monkeypatch.setattr(Database, "write", written)
    monkeypatch.setattr(Database, "rows", found)
    yield used


STORIES = {
    "steps": (alone, 400, 100),
    "gathers": (alone, 400, 100),
    "invokes": (alone, 80, 20),
    "maps": (alone, 100, 40),
    "loops": (ticking, 100, 25),
    "debounced": (ticking, 100, 25),
    "batched": (ticking, 100, 25),
    "debounced-asks": (ticking, 100, 25),
    "batched-asks": (ticking, 100, 25),
    "waits-together": (ticking, 100, 25),
}
SLOW = ("maps", "loops", "debounced", "batched", "debounced-asks", "batched-asks", "waits-together")  # on moto


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        *((name, "memory") for name in STORIES),
        *(pytest.param(name, "moto", marks=[pytest.mark.slow] if name in SLOW else []) for name in STORIES),
    ],
)
def test_twice_as_much_costs_about_twice(name: str, backend: str, used: Used) -> None:
    story, large, small = STORIES[name]
    n = large if backend == "memory" else small
    costs: list[Used] = []
    for count in (n, 2 * n):
        with Mill(app) as mill:
            story(mill, name, 1)
            before = Used(**vars(used))
            story(mill, name, count)
            costs.append(used.minus(before))
    one, two = costs
    ratios = {what: vars(two)[what] / max(vars(one)[what], 1) for what in vars(one)}
    assert {what: ratio for what, ratio in ratios.items() if ratio > MOST} == {}
