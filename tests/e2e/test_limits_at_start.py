"""Limits that were changed while no server ran: their lines are served when the next one has loaded the code."""

from __future__ import annotations

import pytest
from e2e.devserver import DevServer, eventually

SHOP = """
from tidemill import App, Concurrency, Context, Throttle

app = App("shop")

@app.function(on="go"{limits})
def work(ctx: Context):
    ctx.step.wait_for_event("stay", "leave", timeout="1h")
"""
PLACES = ', concurrency=Concurrency({}, key="event.data.user", counts="runs")'
TURNS = ', throttle=Throttle({}, "1h")'


@pytest.mark.parametrize(
    ("before", "after", "waiting"),
    [
        (PLACES.format(1), "", 4),
        (PLACES.format(1), PLACES.format(3), 3),
        (PLACES.format(1), PLACES.format(1).replace("user", "n"), 4),
        (PLACES.format(1), ', throttle=Throttle(9, "1h", burst=9)', 4),
        (TURNS.format(1), "", 4),
        (TURNS.format(1), PLACES.format(9), 4),
        (TURNS.format(1), ', throttle=Throttle(9, "1h", burst=9)', 4),
    ],
    ids=["removed", "raised", "another key", "a throttle", "no throttle", "places", "a wider throttle"],
)
def test_a_limit_that_was_changed_while_no_server_ran(dev: DevServer, before: str, after: str, waiting: int) -> None:
    dev.write("shop.py", SHOP.format(limits=before))
    dev.start("shop.py")
    for n in range(4):
        dev.send("go", {"user": "ann", "n": n})
    eventually(lambda: dev.statuses() == {"waiting": 1, "scheduled": 3})
    assert dev.stop() == 0
    dev.write("shop.py", SHOP.format(limits=after))
    dev.start("shop.py")
    eventually(lambda: dev.statuses().get("waiting") == waiting, within=20)
