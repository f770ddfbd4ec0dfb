"""Bursts, batches and throttles over a real server: all are answered, and `/health` answers meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

from e2e.devserver import DevServer, eventually

CODE = """
import time
from tidemill import App, Batch, Concurrency, Context, Debounce, Throttle

app = App("shop")

def declare(name, **flow):
    @app.function(id=name, on=name, **flow)
    def code(ctx: Context):
        if seconds := ctx.event.data.get("lasts"):
            ctx.step.run("work", time.sleep, seconds)
        return [event.data["n"] for event in ctx.events]

declare("ten", batch=Batch(SIZE, "2s"))
declare("fifty", batch=Batch(50, "2s"))
declare("held", debounce=Debounce("1s"), concurrency=Concurrency(1))
declare("turns", batch=Batch(2, "1s"), throttle=Throttle(2, "1s"))
declare("quiet", debounce=Debounce("1s"), throttle=Throttle(1, "2s"))
declare("paced", throttle=Throttle(10, "1s"))

@app.function(on="many")
def many(ctx: Context):
    ctx.step.send_event("all", [{"name": "ten", "data": {"n": n}} for n in range(11)])
"""


def _events(name: str, count: int, **data: Any) -> list[dict[str, Any]]:
    return [{"name": name, "data": {"n": n, **data}} for n in range(count)]


def _post(dev: DevServer, events: Any) -> None:
    status, answer = dev.ask("POST", "/e/test", events)
    assert status == 200, answer


def _runs(dev: DevServer, name: str) -> list[dict[str, Any]]:
    status, answer = dev.ask("GET", f"/v1/runs?function=shop.{name}&limit=1000")
    assert status == 200
    return list(answer["data"])


def _ended(dev: DevServer, name: str, sizes: list[int]) -> list[dict[str, Any]]:
    def look() -> list[dict[str, Any]] | None:
        runs = [run for run in _runs(dev, name) if run["status"] != "skipped"]
        found = sorted(len(run["event_ids"]) for run in runs)
        return runs if found == sizes and all(run["status"] == "completed" for run in runs) else None

    return eventually(look, within=40) or []


@contextmanager
def _healthy(dev: DevServer) -> Iterator[list[float]]:
    """How long `/health` takes, asked all the time."""
    taken: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            began = time.monotonic()
            assert dev.ask("GET", "/health")[0] == 200
            taken.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield taken
    finally:
        over.set()
        asking.join()
    assert len(taken) > 5
    assert sorted(taken)[len(taken) * 9 // 10] < 0.1


def test_bursts_are_gathered_and_nothing_hangs(dev: DevServer) -> None:
    dev.write("shop.py", CODE.replace("SIZE", "10"))
    dev.start()
    with _healthy(dev):
        _post(dev, _events("ten", 23))
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda event: _post(dev, event), _events("fifty", 200)))
        _post(dev, _events("turns", 7))
        for n in range(3):
            _post(dev, {"name": "held", "data": {"n": n, "lasts": 5}})
            _post(dev, {"name": "quiet", "data": {"n": n}})
            time.sleep(2.5)
        _ended(dev, "ten", [3, 10, 10])
        _ended(dev, "fifty", [50, 50, 50, 50])
        _ended(dev, "turns", [1, 2, 2, 2])
        held = _ended(dev, "held", [1, 1, 1])
        _ended(dev, "quiet", [1, 1, 1])
        spans = sorted((run["started_at"], run["ended_at"]) for run in held)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_a_smaller_batch_after_a_reload_and_an_event_of_the_future(dev: DevServer) -> None:
    dev.write("shop.py", CODE.replace("SIZE", "10"))
    dev.start()
    with _healthy(dev):
        _post(dev, {"name": "many"})
        _ended(dev, "ten", [1, 10])
        _post(dev, _events("ten", 5))
        dev.write("shop.py", CODE.replace("SIZE", "3"))
        eventually(lambda: "reloaded" in dev.output())
        later = int(time.time() * 1_000) + 4_000
        _post(dev, [*_events("ten", 2), {"name": "ten", "data": {"n": 2}, "ts": later}])
        _ended(dev, "ten", [1, 1, 2, 5, 10])


def test_no_more_starts_than_declared_after_the_server_was_away(dev: DevServer) -> None:
    dev.write("shop.py", CODE.replace("SIZE", "10"))
    dev.start()
    _post(dev, _events("paced", 60))
    time.sleep(1)
    dev.kill()
    time.sleep(4)
    dev.start()
    with _healthy(dev):
        runs = _ended(dev, "paced", [1] * 60)
    starts = sorted(_ms(run["started_at"]) for run in runs)
    assert max(sum(at <= other < at + 1_000 for other in starts) for at in starts) <= 10


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() * 1_000
