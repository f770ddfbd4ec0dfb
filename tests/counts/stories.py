"""The stories whose every call and unit is counted, each as what it adds to a run or an event without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from counts.account import Account
from counts.meter import Used

from tidemill import App, AsyncContext, Context, Cron

app = App("shop")
MINUTE = 60_000
TYPED = "order/typed-1"  # as long a name as order/unheard
BRANCHES, ITEMS, LISTENERS = 4, 100, 5


@app.function(on="run/plain")
def plain(ctx: Context) -> None:
    for number in range(ctx.event.data["steps"]):
        ctx.step.run(f"step-{number}", lambda: {"ok": True})


@app.function(on="run/sleeps")
def sleeps(ctx: Context) -> None:
    ctx.step.sleep("a while", timedelta(minutes=ctx.event.data["minutes"]))


@app.function(on="run/waits")
def waits(ctx: Context) -> None:
    ctx.step.wait_for_event("approval", "order/approved", match="data.order_id", timeout="3d")


@app.function(on="run/sends")
def sends(ctx: Context) -> None:
    ctx.step.send_event("tell", {"name": "order/packed", "data": {"order_id": "o1"}})


@app.function()
def child(ctx: Context) -> str:
    return "done"


@app.function(on="run/invokes")
def invokes(ctx: Context) -> None:
    ctx.step.invoke("the other", child, {"order_id": "o1"})


@app.function(on="run/retries", backoff="2m")
def retries(ctx: Context) -> None:
    attempts: list[int] = []

    def shaky() -> None:
        attempts.append(1)
        if ctx.attempt == 1:
            raise OSError("not now")

    ctx.step.run("shaky", shaky)


@app.function(on="run/branches")
async def branches(ctx: AsyncContext) -> None:
    await asyncio.gather(*[ctx.step.run(f"branch-{number}", lambda: {"ok": True}) for number in range(BRANCHES)])


@app.function(on="run/maps")
def maps(ctx: Context) -> None:
    ctx.step.map("each", lambda item: item, list(range(ITEMS)))


@app.function(on=Cron("0 * * * *"))
def hourly(ctx: Context) -> None:
    pass


for _number in range(LISTENERS):
    app.function(id=f"listener-{_number}", on="event/popular")(lambda ctx: None)


class Counted:
    """Runs the stories in one account, each from a cold name to a warm one, and keeps what the warm one used."""

    def __init__(self) -> None:
        self.account = Account(app)
        self._sent = 0

    def event(self, name: str, **data: Any) -> dict[str, Any]:
        """Always of the same size: an id of 26 characters, and a little data."""
        self._sent += 1
        return {"id": f"event-{self._sent:020d}", "name": name, "data": {"order_id": f"o{self._sent:06d}", **data}}

    def warm(self, work: Callable[[], object]) -> Used:
        """What it uses when it is done for the second time."""
        self.account.measured(work)
        self.account.advance(2 * MINUTE)  # a path that is newly awaited has a minute of its own
        return self.account.measured(work)

    def event_alone(self, user: str = "", name: str = "order/unheard") -> Used:
        about = {"user": {"id": user}} if user else {}
        return self.warm(lambda: self.account.post(self.event(name, steps=0) | about))

    def webhook(self) -> tuple[Used, Used]:
        """A signed delivery, alone; and what a process learns of its webhook, once a minute."""
        self.account.declare_webhook()

        def work() -> None:
            self._sent += 1
            self.account.deliver(self._sent)

        warm = self.warm(work)
        plain = self.warm(lambda: self.account.post(self.event("order/unheard", steps=0)))
        self.account.forget_declarations()
        cold = self.account.measured(lambda: self.account.post(self.event("order/unheard", steps=0)))
        self.account.forget_declarations()
        learned = self.account.measured(work)
        return warm, learned.minus(warm).minus(cold.minus(plain))

    def post_alone(self, name: str) -> Used:
        return self.account.measured(lambda: self.account.post(self.event(name, steps=0)))

    def schemas(self) -> tuple[Used, Used]:
        """What a process learns once a minute: which names have schemas, and the schemas of one."""
        self.account.declare_schema(TYPED)
        plain, typed = self.event_alone(), self.event_alone(name=TYPED)
        self.account.forget_declarations()
        names = self.post_alone("order/unheard").minus(plain)
        self.account.forget_declarations()
        return names, self.post_alone(TYPED).minus(typed).minus(names)

    def run(self, steps: int, user: str = "") -> Used:
        about = {"user": {"id": user}} if user else {}
        return self.warm(lambda: self.account.post(self.event("run/plain", steps=steps) | about))

    def fan_out(self) -> Used:
        return self.warm(lambda: self.account.post(self.event("event/popular", steps=0)))

    def story(self, name: str, minutes: int = 0, **data: Any) -> Used:
        def work() -> None:
            sent = self.event(name, steps=0, **data)
            self.account.post(sent)
            self.account.advance(minutes * MINUTE)
            (head,) = self.account.heads(sent["id"])
            assert head.status == "completed", head

        return self.warm(work)

    def slept(self, minutes: int) -> Used:
        def work() -> None:
            sent = self.event("run/sleeps", steps=0, minutes=minutes)
            self.account.post(sent)
            self.account.advance((minutes + 5) * MINUTE)
            (head,) = self.account.heads(sent["id"])
            assert head.status == "completed", head

        return self.warm(work)

    def wait(self) -> Used:
        """Two events: the run's own, and the one that it waits for."""

        def work() -> None:
            sent = self.event("run/waits", steps=0)
            self.account.post(sent)
            self.account.post(self.event("order/approved", steps=0) | {"data": sent["data"]})
            (head,) = self.account.heads(sent["id"])
            assert head.status == "completed", head

        return self.warm(work)

    def cancel(self) -> Used:
        """Of a run that waits, by a call of the API; the run itself not counted."""

        def waiting() -> str:
            sent = self.event("run/waits", steps=0)
            self.account.post(sent)
            (head,) = self.account.heads(sent["id"])
            assert head.status == "waiting", head
            return head.run_id

        first, second = waiting(), waiting()
        self.account.measured(lambda: self.account.cancel(first))
        return self.account.measured(lambda: self.account.cancel(second))

    def tick(self) -> Used:
        return self.warm(lambda: self.account.tick("shop.hourly"))

    def sweep(self) -> Used:
        return self.warm(self.account.sweep)

    def pauses(self) -> Used:
        return self.warm(self.account.look_at_pauses)

    def dead_letters(self) -> Used:
        return self.warm(lambda: self.account.look_at_dead_letters("shop.plain"))


def table() -> dict[str, dict[str, Any]]:
    """What stories.json must say."""
    counted = Counted()
    event, ended = counted.event_alone(), counted.run(0)
    whole = ended.minus(event)
    run = whole.minus(whole.filing())
    user = counted.event_alone(user="u1").minus(event)
    step = counted.run(10).minus(ended).over(10)
    names, schemas = counted.schemas()
    found = {
        "event": ("an event, sent alone over HTTPS and stored; nobody listens or waits for it", event),
        "webhook": ("a webhook's declaration and its secret, once a minute in each process", counted.webhook()[1]),
        "schema names": ("which events have schemas, once a minute in each process that accepts events", names),
        "schema": ("the schemas of an event's name, once a minute in each process that accepts the event", schemas),
        "run": ("a run that an event starts and that takes no step", run),
        "filing": ("the same run, found under its event", whole.filing()),
        "step": ("a step", step),
        "user": ("a user in an event", user),
        "run of a user": ("a user in the event of a run", counted.run(0, user="u1").minus(ended).minus(user)),
        "parallel": (
            f"{BRANCHES} steps at the same time",
            counted.story("run/branches").minus(ended),
        ),
        "map": (f"a map of {ITEMS} items", counted.story("run/maps", minutes=1).minus(ended)),
        "retry": (
            "a failed attempt of a step, tried again after 2 s or more",
            counted.story("run/retries", minutes=5).minus(ended).minus(step),
        ),
        "short sleep": ("a sleep of up to 15 minutes", counted.slept(5).minus(ended)),
        "long sleep": ("a longer sleep", counted.slept(60 * 24 * 5).minus(ended)),
        "wait": ("a wait for an event that comes", counted.wait().minus(ended).minus(event)),
        "send_event": ("an event sent by a step, and stored", counted.story("run/sends").minus(ended)),
        "invoke": ("an invoke, with the run that it starts", counted.story("run/invokes").minus(ended)),
        "cancel": ("a cancel of a run that waits", counted.cancel()),
        "tick": ("a tick of a schedule, besides the run that it starts", counted.tick().minus(whole)),
        "sweep": ("the sweep, once a minute, that finds nothing", counted.sweep()),
        "pauses": ("a look at which functions are paused, twice a minute in each process at work", counted.pauses()),
        "dead letters": ("a look at a function's dead letters, every ten minutes", counted.dead_letters()),
    }
    return {name: {"what": what, **used.story()} for name, (what, used) in found.items()}
