"""A deploy that changes a limit serves its line: the registry's Lambda does what a reload does."""

from __future__ import annotations

from dataclasses import replace

from counts.account import Account

from tidemill import App, Concurrency, Context
from tidemill.aws.dynamo.registry import DynamoRegistry, declared, register
from tidemill.aws.dynamo.table import Table
from tidemill.core.flow import concurrency as places
from tidemill.engine.intake.serve_lines import changed

app = App("shop")


@app.function(on="go", concurrency=Concurrency(1, counts="runs"))
def work(ctx: Context) -> None:
    ctx.step.sleep("a while", "1h")


def test_a_limit_that_a_deploy_raises_gives_its_places_at_once() -> None:
    account = Account(app)
    for number in range(4):
        account.post({"id": f"e{number}", "name": "go", "data": {}})
    assert sorted(account.heads(f"e{number}")[0].status for number in range(4)) == [*["scheduled"] * 3, "sleeping"]
    raised = App("shop")
    raised.function(id="work", on="go", concurrency=Concurrency(3, counts="runs"))(lambda ctx: None)
    spec = raised.functions["shop.work"].spec
    table = Table(account.client, account.settings.table)
    register(table, work.spec, "stack/work", account.clock.now())
    before = declared(table, "shop.work")
    assert before is not None
    register(table, spec, "stack/work", account.clock.now())
    world = replace(account.world, registry=DynamoRegistry(table))
    account._invoked("registry", lambda: list(changed(world, [before])))
    account.settle()
    family = places.family(work.spec, work.spec.flow["concurrency"][0])
    assert len(account.world.flow.holders(f"{family}/")) == 3
    assert sorted(account.heads(f"e{number}")[0].status for number in range(4)) == ["scheduled", *["sleeping"] * 3]
