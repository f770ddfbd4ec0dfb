"""The functions that the stories are told with, in Lambdas of an emulated account.

Each execution of a step is noted in a file beside the emulator's own: what really happened, whatever a journal says.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tidemill import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Cron,
    Debounce,
    Event,
    NonRetriableError,
    StepError,
    Throttle,
)

app = App("stories")
NOTES = Path(tempfile.gettempdir()) / "notes"


def note(name: str) -> int:
    """How often it has been noted, this time included."""
    NOTES.mkdir(exist_ok=True)
    with (NOTES / name.replace("/", "_")).open("a+") as file:
        file.write(f"{os.getpid()}\n")
        file.seek(0)
        return len(file.readlines())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# ---- one event, several functions ---------------------------------------------------------------


@app.function(on="order/placed")
def charge(ctx: Context) -> dict[str, Any]:
    receipt = ctx.step.run("charge", lambda: f"receipt-{ctx.event.data['order']}")
    return {"receipt": receipt, "calls": ctx.step.run("count", note, f"charge-{ctx.event.id}")}


@app.function(on=Event("order/placed", when="event.data.total >= 100"))
def audit(ctx: Context) -> str:
    return ctx.step.run("audit", lambda: "audited")


@app.function(on=Event("order/placed", when="size(event.data.items) > 1 && event.data.total < 1000"))
def bundle(ctx: Context) -> int:
    return len(ctx.event.data["items"])


# ---- retries and failures -----------------------------------------------------------------------


@app.function(on="story/retry", backoff="1s")
def retry(ctx: Context) -> list[int]:
    def flaky() -> int:
        if (tries := note(f"flaky-{ctx.event.id}")) < 3:
            raise ConnectionError(f"no answer to call {tries}")
        return tries

    return [ctx.step.run("first", note, f"first-{ctx.event.id}"), ctx.step.run("flaky", flaky)]


def apologize(ctx: Context) -> str:
    return ctx.step.run("mail", lambda: f"sorry: {ctx.event.data['error']['message']}")


@app.function(on="story/fail", retries=0, on_failure=apologize)
def fail(ctx: Context) -> None:
    def refuse() -> None:
        raise NonRetriableError("the card was declined")

    ctx.step.run("pay", refuse)


# ---- time, and other events ---------------------------------------------------------------------


@app.function(on="story/sleep")
def sleep(ctx: Context) -> float:
    began = ctx.step.run("before", time.time)
    ctx.step.sleep("nap", ctx.event.data["for"])
    return ctx.step.run("after", lambda: time.time() - began)


@app.function(on="story/wait")
def wait(ctx: Context) -> Any:
    ctx.step.sleep("look away", ctx.event.data.get("away", 0))
    found = ctx.step.wait_for_event("approval", "story/approved", match="data.draft", timeout=ctx.event.data["timeout"])
    return found and found.data


@app.function(on="story/news")
def news(ctx: Context) -> Any:
    """One branch waits for an event; the other works until the first has gone on, and says how long that took."""
    heard = NOTES / f"heard-{ctx.event.id}"

    def work() -> float | None:
        began = time.time()
        note(f"working-{ctx.event.id}")
        while time.time() < began + ctx.event.data["most"]:
            if heard.exists():
                return time.time()
            time.sleep(0.05)
        return None

    def waits() -> None:
        ctx.step.wait_for_event("call", "story/called", match="data.news", timeout="10m")
        ctx.step.run("hear", note, heard.name)

    return ctx.step.parallel(waits, lambda: ctx.step.run("work", work))[1]


@app.function(on="story/ask")
def ask(ctx: Context) -> Any:
    return ctx.step.wait_for_signal("answer", f"answer-{ctx.event.data['id']}", timeout="5m")


@app.function(on="story/cancel", cancel_on=[CancelOn("story/withdrawn", match="data.id")])
def cancelled(ctx: Context) -> None:
    ctx.step.sleep("long", "2h")
    note(f"cancelled-{ctx.event.id}")


@app.function(on=Cron("* * * * *"))
def tick(ctx: Context) -> int:
    return ctx.step.run("tick", note, "tick")


# ---- more than one at once ----------------------------------------------------------------------


@app.function()
def double(ctx: Context) -> int:
    if ctx.event.data["n"] < 0:
        raise NonRetriableError("a negative number")
    return ctx.step.run("double", lambda: ctx.event.data["n"] * 2)


@app.function(on="story/invoke")
def invoke(ctx: Context) -> list[Any]:
    doubled = ctx.step.invoke("double", double, {"n": 21})
    try:
        ctx.step.invoke("fails", double, {"n": -1})
    except StepError as error:
        return [doubled, str(error)]
    return [doubled]


@app.function(on="story/parallel")
def parallel(ctx: Context) -> list[Any]:
    def slow() -> str:
        ctx.step.sleep("rest", 1)
        return ctx.step.run("slow", lambda: "slow")

    return ctx.step.parallel(
        lambda: ctx.step.run("one", lambda: 1),
        slow,
        lambda: ctx.step.invoke("three", double, {"n": 3}),
    )


@app.function(on="story/map")
def spread(ctx: Context) -> int:
    def square(item: int) -> int:
        return item * item

    return sum(ctx.step.map("squares", square, list(range(ctx.event.data["items"]))))


@app.function(on="story/chain")
def chain(ctx: Context) -> list[str]:
    sent = ctx.step.send_event("on", [{"name": "story/link", "data": {"n": n}} for n in range(3)])
    [direct] = app.send("story/link", {"n": 9}, id=f"direct-{ctx.run_id}")
    return [*sent, direct]


@app.function(on="story/link")
def link(ctx: Context) -> int:
    return ctx.event.data["n"]


# ---- flow control -------------------------------------------------------------------------------


@app.function(
    on="story/desk",
    concurrency=Concurrency(1, key="event.data.desk", counts="runs"),
    priority="event.data.urgent ? 600 : 0",
)
def desk(ctx: Context) -> list[float]:
    """From when until when somebody is served; `dies`: the first time the process does not live to see it."""

    def sit() -> float:
        if note(f"desk-{ctx.event.id}") == 1 and ctx.event.data.get("dies"):
            die()
        return time.time()

    began = ctx.step.run("sit down", sit)
    if ctx.event.data["for"] == "until told":
        ctx.step.wait_for_event("be served", "story/desk.closing", match="data.desk", timeout="10m")
    else:
        ctx.step.sleep("be served", ctx.event.data["for"])
    return [began, ctx.step.run("get up", time.time)]


@app.function(on="story/typed", debounce=Debounce("4s", key="event.data.page"))
def typed(ctx: Context) -> str:
    return ctx.event.data["text"]


@app.function(on="story/counted", batch=Batch(5, "30s"))
def counted(ctx: Context) -> int:
    return len(ctx.events)


@app.function(on="story/paced", throttle=Throttle(1, "3s"))
def paced(ctx: Context) -> float:
    return ctx.step.run("now", time.time)


# ---- processes that die, and Lambdas that end ---------------------------------------------------


@app.function(on="story/crash")
def crash(ctx: Context) -> list[int]:
    def fragile() -> int:
        if (tries := note(f"fragile-{ctx.event.id}")) == 1:
            die()
        return tries

    return [ctx.step.run("before", note, f"before-{ctx.event.id}"), ctx.step.run("fragile", fragile)]


@app.function(on="story/overrun")
def overrun(ctx: Context) -> int:
    """The first time its step is longer than the Lambda may run."""

    def slow() -> int:
        if (tries := note(f"slow-{ctx.event.id}")) == 1:
            time.sleep(60)
        return tries

    return ctx.step.run("slow", slow)


@app.function(on="story/poison", retries=1)
def poison(ctx: Context) -> None:
    note(f"poison-{ctx.event.id}")
    die()


@app.function(on="story/long")
def long(ctx: Context) -> list[int]:
    """Longer than its Lambda may run: moves on between two steps."""

    def part(number: int) -> int:
        time.sleep(2)
        note(f"part-{number}-{ctx.event.id}")
        return os.getpid()

    return [ctx.step.run(f"part {number}", part, number) for number in range(ctx.event.data["parts"])]


# ---- large values -------------------------------------------------------------------------------


@app.function(on="story/large")
def large(ctx: Context) -> dict[str, Any]:
    text = ctx.step.run("make", lambda: "x" * ctx.event.data["bytes"])
    ctx.step.sleep("forget", 1)
    return {"length": len(text), "received": len(ctx.event.data["blob"]), "text": text}


@app.function(on="story/huge")
def huge(ctx: Context) -> int:
    return len(ctx.step.run("make", lambda: "x" * ctx.event.data["bytes"]))


@app.function(on="story/hundred")
def hundred(ctx: Context) -> int:
    return sum(ctx.step.run(f"step {number}", lambda: 1) for number in range(100))


# ---- typed events, and webhooks that are signed -------------------------------------------------

app.webhook("store", scheme="hmac-sha256", secret="STORE_SECRET", header="x-signature", name="'story/sold'")


class Sold(BaseModel):
    article: str
    pieces: int


@app.function(on=app.event("story/sold", Sold, v="1"))
def sold(ctx: Context[Sold]) -> str:
    return f"{ctx.event.data.pieces} {ctx.event.data.article}"
