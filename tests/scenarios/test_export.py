"""A run taken home: its export, read back, is its journal; and a replay of the file tells the first difference."""

from __future__ import annotations

from typing import Any

import pytest

from tidemill import App, Context
from tidemill.core.bundle import Unpacker
from tidemill.testing import Mill


def make_app() -> App:
    app = App("shop")

    @app.function()
    def child(ctx: Context) -> str:
        return ctx.step.run("in the child", lambda: ctx.event.data["word"])

    @app.function(on="order", retries=0)
    def work(ctx: Context) -> Any:
        branches = ctx.step.parallel(
            lambda: ctx.step.run("left", lambda: {"$": "mine", "at": b"raw"}),
            lambda: ctx.step.sleep("right", "1h"),
        )
        paid = ctx.step.wait_for_event("paid", "paid", timeout="2h")
        mapped = ctx.step.map("map", lambda n: n * 2, [1, 2, 3])
        called = ctx.step.invoke("call", child, {"word": "hello"})
        large = ctx.step.run("large", lambda: "x" * 400_000)
        return [branches, paid and paid.data, mapped, called, len(large)]

    return app


def exported(mill: Mill, run_id: str) -> list[dict[str, Any]]:
    """The pages of an export."""
    pages, cursor = [], ""
    while True:
        answer = mill.http("GET", f"/v1/runs/{run_id}/export{cursor}")
        assert answer.status == 200, answer.json
        pages.append(answer.json["data"])
        if answer.json["cursor"] is None:
            return pages
        cursor = f"?cursor={answer.json['cursor']}"


def test_what_was_packed_is_read_back(serve):
    with serve(make_app()) as mill:
        run = mill.send("order", {"n": 1}).run("shop.work")
        mill.send("paid", {"amount": 5})
        mill.advance("10h")
        assert run.status == "completed", run.error
        (page,) = exported(mill, run.id)
        journal = mill._machine.world.runs.read(run.id)
        assert Unpacker(page["events"], page["blobs"]).records(page["records"]) == journal
        assert [event["name"] for event in page["events"]] == ["order", "paid"]
        assert page["run"]["run_id"] == run.id
        assert "output" not in page["run"]
        assert {(each["step"], each["kind"]) for each in page["children"]} == {("map", "map"), ("call", "invoke")}
        assert len(page["blobs"]) == 1
        for each in page["children"]:
            assert exported(mill, each["run_id"])[0]["run"]["parent_run_id"] == run.id


@pytest.mark.parametrize("backend", ["memory", "moto"])
def test_a_large_run_takes_several_pages(backend):
    app = App("shop")

    @app.function(on="order")
    def work(ctx: Context) -> int:
        return sum(len(ctx.step.run(f"step {n}", lambda n=n: f"{n}" * 700_000)) for n in range(8))

    with Mill(app, backend=backend) as mill:
        run = mill.send("order").run()
        pages = exported(mill, run.id)
        assert len(pages) > 1
        events = [event for page in pages for event in page["events"]]
        blobs = {name: blob for page in pages for name, blob in page["blobs"].items()}
        records = [record for page in pages for record in page["records"]]
        assert Unpacker(events, blobs).records(records) == mill._machine.world.runs.read(run.id)
        other = mill.send("order").run()
        assert mill.http("GET", f"/v1/runs/{other.id}/export?cursor=x").status == 400
        assert mill.http("GET", "/v1/runs/none/export").status == 404
