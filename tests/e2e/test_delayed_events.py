"""Events with a `ts` ahead over a real server: at their time, also while code works, whatever is killed meanwhile."""

from __future__ import annotations

import time
from typing import Any

from e2e.devserver import DevServer, eventually

CODE = """
import time
from tidemill import App, CancelOn, Context

app = App("shop")

@app.function(on="placed", cancel_on=CancelOn("withdrawn", match="data.n"))
def follow(ctx: Context):
    def wait():
        found = ctx.step.wait_for_event("paid", "paid", match="data.n")
        return ctx.step.run("note", lambda: [found.ts, time.time() * 1_000])

    def work():
        for n in range(ctx.event.data["work"]):
            ctx.step.run(f"work {n}", time.sleep, 0.25)

    return ctx.step.parallel(wait, work)[0]
"""


def _post(dev: DevServer, name: str, n: int, ahead: float = 0, **data: Any) -> int:
    ts = round((time.time() + ahead) * 1_000)
    status, answer = dev.ask("POST", "/e/test", {"name": name, "data": {"n": n, **data}, "ts": ts})
    assert status == 200, answer
    return ts


def _runs(dev: DevServer) -> list[dict[str, Any]]:
    status, answer = dev.ask("GET", "/v1/runs")
    assert status == 200
    return sorted(answer["data"], key=lambda run: str(run["created_at"]))


def test_a_wait_goes_on_at_the_ts_while_another_branch_works_or_none_does(dev: DevServer) -> None:
    dev.write("shop.py", CODE)
    dev.start("shop.py")
    for n, work in enumerate((0, 16)):
        _post(dev, "placed", n, work=work)
        _post(dev, "paid", n, 2)
    eventually(lambda: dev.completed(2))
    for run in _runs(dev):
        ts, went_on = run["output"]
        assert ts <= went_on < ts + 2_000


def test_it_cancels_code_at_work_at_its_ts(dev: DevServer) -> None:
    dev.write("shop.py", CODE)
    dev.start("shop.py")
    _post(dev, "placed", 1, work=200)
    _post(dev, "withdrawn", 1, 2)
    time.sleep(1)
    assert dev.statuses() == {"running": 1}
    eventually(lambda: dev.statuses() == {"cancelled": 1})


def test_what_falls_due_while_the_server_is_dead_is_done_by_the_next(dev: DevServer) -> None:
    dev.write("shop.py", CODE)
    dev.start("shop.py")
    for n in (1, 2):
        _post(dev, "placed", n, work=0)
    eventually(lambda: dev.statuses() == {"waiting": 2})
    _post(dev, "paid", 1, 1)
    _post(dev, "withdrawn", 2, 1)
    dev.kill()
    time.sleep(1.5)
    assert dev.statuses() == {"waiting": 2}
    dev.start("shop.py")
    eventually(lambda: dev.statuses() == {"completed": 1, "cancelled": 1})
