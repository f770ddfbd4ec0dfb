"""What flow control costs: exactly what docs/aws/flow-in-aws.md says, and nothing where there is none."""

from __future__ import annotations

from counts import flow, pages
from counts.account import Account

from tidemill import App, Concurrency, Context


def test_the_tables_of_the_page_are_what_was_counted() -> None:
    text = flow.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == len(flow.TABLES)
    assert pages.filled(text, flow.TABLES) == text


def test_taking_a_place_is_one_conditional_write_and_passing_it_on_one_transaction() -> None:
    counted = dict(flow.places())
    for what in ("take a free place under a new key", "take a free place", "give it up, and nobody waits"):
        assert counted[what].calls == {"UpdateItem": 1}
    passed = counted["give a place to the first in line"]
    assert passed.calls == {"TransactWriteItems": 1, "GetItem": 1, "Query": 1}
    assert (passed.writes, passed.index) == (4, 0)  # two items, in a transaction


def test_a_feature_is_one_write_each_time() -> None:
    counted = dict(flow.starts())
    assert all(cost.writes + cost.reads <= 2 for cost in counted.values())
    once = ("throttle: a slot", "rate limit: a start", "idempotency: the first", "debounce, batch: move it")
    assert all(counted[what].calls == {"UpdateItem": 1} for what in once)


def test_up_to_twenty_places_a_limit_costs_what_one_costs() -> None:
    for limit, taken, left, _ in flow.growth():
        assert (taken.writes, left.writes) == (1, 1) or limit > 25, limit


def test_a_function_without_flow_control_pays_nothing_for_that_of_others() -> None:
    """Its calls are the same, to the unit, in an account where other functions have limits, and a line."""
    alone, among = App("shop"), App("shop")
    for app in (alone, among):

        @app.function(on="flow/none")
        def code(ctx: Context) -> None:
            ctx.step.run("step", lambda: {"ok": True})

    @among.function(on="flow/other", concurrency=Concurrency(1, scope="account", counts="runs"))
    def other(ctx: Context) -> None:
        ctx.step.sleep("a while", "5m")

    used = []
    for app in (alone, among):
        account = Account(app)
        for number, name in enumerate(("other", "other", "none", "none")):
            event = {"id": f"event-{number:020d}", "name": f"flow/{name}", "data": {}}
            last = account.measured(lambda account=account, event=event: account.post(event))
        used.append(last)
    assert used[0].calls
    assert used[0] == used[1]
