"""What flow control waits for is a message with a delay, or a schedule, as a sleep is; and goes with its run."""

from __future__ import annotations

from counts.account import Account

from tidemill import App, Batch, Context, Debounce, Throttle
from tidemill.limits import HOUR, MINUTE

app = App("shop")


@app.function(on="typed", debounce=Debounce("1h"))
def typed(ctx: Context) -> str:
    return ctx.event.data["text"]


@app.function(on="paced", throttle=Throttle(1, "1h"))
def paced(ctx: Context) -> None: ...


@app.function(on="many", batch=Batch(2, "1h"))
def many(ctx: Context) -> int:
    return len(ctx.events)


def post(account: Account, name: str, number: int, **data: object) -> str:
    event_id = f"{name}-{number:020d}"
    account.post({"id": event_id, "name": name, "data": data})
    return event_id


def status(account: Account, event_id: str) -> str:
    (head,) = account.heads(event_id)
    return head.status


def test_a_silence_of_an_hour_is_a_schedule_that_moves_with_each_event() -> None:
    account = Account(app)
    first = post(account, "typed", 1, text="h")
    assert len(account.schedules) == 1
    account.advance(40 * MINUTE)
    second = post(account, "typed", 2, text="hello")
    assert len(account.schedules) == 1
    account.advance(59 * MINUTE)
    assert status(account, first) == "scheduled"
    account.advance(MINUTE)
    assert (status(account, first), status(account, second)) == ("completed", "completed")
    assert account.schedules == {}


def test_a_slot_in_an_hour_is_a_schedule() -> None:
    account = Account(app)
    first, second = post(account, "paced", 1), post(account, "paced", 2)
    assert (status(account, first), status(account, second)) == ("completed", "scheduled")
    assert len(account.schedules) == 1
    account.advance(HOUR - 1)
    assert status(account, second) == "scheduled"
    account.advance(1)
    assert status(account, second) == "completed"


def test_a_batch_that_is_full_needs_its_schedule_no_more() -> None:
    account = Account(app)
    first = post(account, "many", 1)
    assert len(account.schedules) == 1
    second = post(account, "many", 2)
    assert (status(account, first), status(account, second)) == ("completed", "completed")
    assert account.schedules == {}
    third = post(account, "many", 3)
    account.advance(HOUR)
    assert status(account, third) == "completed"
