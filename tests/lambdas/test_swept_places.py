"""A place whose holder is never heard of again, and a line behind it: the sweep finds who stands there."""

from __future__ import annotations

from counts.account import Account

from tidemill import App, Concurrency, Context
from tidemill.core.flow import concurrency as places
from tidemill.limits import HOUR, MINUTE
from tidemill.model import Place
from tidemill.ports import Hold

app = App("shop")


@app.function(on="go", concurrency=Concurrency(1))
def work(ctx: Context) -> str:
    return ctx.step.run("serve", lambda: ctx.event.data["who"])


def test_a_lapsed_place_goes_to_the_first_in_line_within_the_hour_and_then_down_the_line() -> None:
    account = Account(app)
    flow, now = account.world.flow, account.clock.now()
    place = Place(f"{places.family(work.spec, work.spec.flow['concurrency'][0])}/", 1)
    assert flow.take(place, Hold("dead", 2, now + MINUTE), now, known=False)
    for who in ("first", "second", "third"):
        account.post({"id": f"event-{who:0>20}", "name": "go", "data": {"who": who}})
        account.advance(1_000)

    def heads() -> list[str]:
        found = [account.heads(f"event-{who:0>20}")[0] for who in ("first", "second", "third")]
        return [head.status for head in found]

    account.advance(30 * MINUTE)
    account.sweep()
    account.settle()
    assert heads() == ["scheduled"] * 3
    assert [holder.run_id for holder in flow.holders(place.key)] == ["dead"]

    account.advance(HOUR - 30 * MINUTE + MINUTE)
    account.sweep()
    account.settle()
    assert heads() == ["completed"] * 3
    assert flow.holders(place.key) == []
    began = [account.heads(f"event-{who:0>20}")[0].started_at or 0 for who in ("first", "second", "third")]
    assert began == sorted(began)


def test_who_comes_anew_serves_the_line_before_itself() -> None:
    account = Account(app)
    flow, now = account.world.flow, account.clock.now()
    place = Place(f"{places.family(work.spec, work.spec.flow['concurrency'][0])}/", 1)
    assert flow.take(place, Hold("dead", 2, now + MINUTE), now, known=False)
    account.post({"id": "old", "name": "go", "data": {"who": "old"}})
    account.advance(2 * MINUTE)
    assert account.heads("old")[0].status == "scheduled"
    account.post({"id": "new", "name": "go", "data": {"who": "new"}})
    (old,), (new,) = account.heads("old"), account.heads("new")
    assert (old.status, new.status) == ("completed", "completed")
    assert flow.holders(place.key) == []
    journal = account.world.runs.read(new.run_id)
    assert any(type(record).__name__ == "Admitted" for record in journal)
