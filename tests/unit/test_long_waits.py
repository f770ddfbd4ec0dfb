"""Runs that outlive their records: a store may let old ones expire, so a long suspension begins with a snapshot."""

from __future__ import annotations

import pytest

from tidemill import App, Context
from tidemill.core.journal import Record
from tidemill.limits import SNAPSHOT_BEFORE
from tidemill.testing import Mill
from tidemill_local.testing.stores import InMemory


def long_run(nap: str | int) -> App:
    app = App("shop")

    @app.function(on="go")
    def wait(ctx: Context) -> list:
        first = ctx.step.run("first", lambda: "remembered")
        ctx.step.sleep("nap", nap)
        found = ctx.step.wait_for_event("answer", "answer")
        return [first, found.data["n"] if found else None]

    return app


def expire(mill: Mill, run_id: str) -> int | None:
    """What a store may do after a long time: forget what the snapshot holds. The snapshot's number."""
    stores = mill._machine.stores
    assert isinstance(stores, InMemory)
    head = stores.runs.head(run_id)
    assert head is not None
    if head.snapshot is not None:
        stores.db.write("DELETE FROM journal WHERE seq <= ?", (head.snapshot,))
        stores.db.commit()
        stores.db.rollback()  # also what the store remembers of it
    return head.snapshot


def end(mill: Mill, run_id: str) -> list[Record]:
    runs = mill._machine.world.runs
    head = runs.head(run_id)
    assert head is not None
    assert head.end is not None
    return runs.read(run_id, head.end - 1)


@pytest.mark.parametrize(("nap", "kept"), [("366d", True), ("31d", True), ("29d", False)])
def test_a_long_sleep_begins_with_a_snapshot(nap: str, kept: bool) -> None:
    with Mill(long_run(nap)) as mill:
        run = mill.send("go").run()
        assert (expire(mill, run.run_id) is not None) is kept
        mill.advance(nap)
        assert run.status == "waiting"
        assert expire(mill, run.run_id) is not None, "a wait without a timeout may last for ever"
        mill.send("answer", {"n": 7})
        (ended,) = end(mill, run.run_id)
        assert ended.value == b'["remembered",7]'


def test_how_long_is_long() -> None:
    with Mill(long_run(SNAPSHOT_BEFORE // 1_000)) as mill:
        assert expire(mill, mill.send("go").run().run_id) is None
