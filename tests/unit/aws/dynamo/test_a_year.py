"""Nothing that an open run needs expires, whatever it does for a year: told on moto's AWS, beside a strict reaper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.reaper import Reaper

from tidemill import App, Context, RetryAfterError
from tidemill.limits import DAY
from tidemill.testing import Mill
from tidemill_local.testing import mill as mills
from tidemill_local.testing import moto
from tidemill_local.testing.aws import InMoto

LARGE = "x" * 200_000  # of a size that is kept in the bucket
app = App("shop")


def told(ctx: Context, *naps: str) -> list[Any]:
    """A step before each nap, and the run's event: what it was told at the start must be there at the end."""
    said = []
    for number, nap in enumerate(naps):
        said.append(ctx.step.run(f"step {number}", lambda number=number: number))
        ctx.step.sleep(f"nap {number}", nap)
    return [*said, len(ctx.event.data.get("text", ""))]


@app.function(on="naps")
def naps(ctx: Context) -> list[Any]:
    return told(ctx, *ctx.event.data["naps"])


@app.function(on="waits")
def waits(ctx: Context) -> list[Any]:
    first = ctx.step.run("first", lambda: LARGE)
    found = ctx.step.wait_for_event("answer", "answer", match="data.id")
    again = ctx.step.wait_for_event("again", "again", match="data.id", timeout="300d")
    return [len(first), found and found.data["n"], again and again.data["n"]]


@app.function(on="maps")
def maps(ctx: Context) -> list[int]:
    ctx.step.sleep("nap", "70d")
    return ctx.step.map("each", lambda item: item * 2, [1, 2, 3])


@app.function(on="slow-maps")
def slow_maps(ctx: Context) -> list[int]:
    def each(item: int) -> int:
        if item == 1 and ctx.attempt == 1:
            raise RetryAfterError("100d")
        return item * 2

    return ctx.step.map("each", each, [1, 2, 3], max_concurrency=3)


@app.function(on="fails")
def fails(ctx: Context) -> str:
    ctx.step.run("first", lambda: LARGE)
    if ctx.attempt == 1:
        raise RetryAfterError("120d")
    return "done"


@app.function(on="keeps-large")
def keeps_large(ctx: Context) -> int:
    first = ctx.step.run("first", lambda: LARGE)
    ctx.step.sleep("one", "300d")
    second = ctx.step.run("second", lambda: LARGE + "y")
    ctx.step.sleep("two", "300d")
    return len(first) + len(second) + len(ctx.event.data["text"])


@pytest.fixture
def mill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mill]:
    monkeypatch.setattr(mills, "_stores", lambda _, clock: InMoto(clock, moto.client(Reaper(clock))))
    with Mill(app) as mill:
        yield mill


def shown(mill: Mill, run_id: str) -> dict[str, Any]:
    answer = mill.http("GET", f"/v1/runs/{run_id}")
    assert answer.status == 200, answer
    data: dict[str, Any] = answer.json["data"]
    return data


def live(mill: Mill, run_id: str, days: int, every: int = 10) -> None:
    """So many days pass; now and then somebody looks at the run, and finds all of it."""
    steps = len(shown(mill, run_id)["steps"])
    for _ in range(0, days, every):
        mill.advance(days=every)
        found = len(shown(mill, run_id)["steps"])
        assert found >= steps
        steps = found


@pytest.mark.parametrize(
    "nights",
    [["30d"] * 4, ["7d"] * 12, ["2d"] * 40, ["366d"], ["1d", "366d", "1d"], ["59d"] * 6, ["300d", "300d"]],
    ids=lambda nights: f"{len(nights)} x {nights[0]}",
)
@pytest.mark.parametrize("size", [10, 2_000, 200_000])
def test_a_run_that_sleeps(mill: Mill, nights: list[str], size: int) -> None:
    run = mill.send("naps", {"naps": nights, "text": "x" * size}).run(naps)
    live(mill, run.id, 10 + sum(int(nap[:-1]) for nap in nights), every=30)
    assert (run.status, run.output) == ("completed", [*range(len(nights)), size])
    assert len(shown(mill, run.id)["steps"]) == 2 * len(nights)
    assert len(shown(mill, run.id)["journal"]) >= 2 * len(nights)


def test_a_run_whose_event_lies_a_hundred_days_ahead(mill: Mill) -> None:
    ts = round(mill.now.timestamp() * 1_000) + 100 * DAY
    sent = mill.send("naps", {"naps": ["1d"], "text": "x" * 2_000}, ts=ts)
    run = sent.run(naps)
    live(mill, run.id, 110)
    assert run.output == [0, 2_000]
    assert mill.http("GET", f"/v1/events/{sent.ids[0]}").status == 200


@pytest.mark.slow  # looked at every hour
def test_a_run_that_waits_without_a_timeout(mill: Mill) -> None:
    run = mill.send("waits", {"id": 7}).run(waits)
    live(mill, run.id, 70)
    mill.send("answer", {"id": 7, "n": 1})
    live(mill, run.id, 290)
    mill.send("again", {"id": 7, "n": 2})
    assert run.output == [200_000, 1, 2]


@pytest.mark.parametrize(("name", "output"), [("maps", [2, 4, 6]), ("slow-maps", [2, 4, 6])])
def test_a_map_after_or_over_a_long_time(mill: Mill, name: str, output: list[int]) -> None:
    run = mill.send(name, {}).run(maps if name == "maps" else slow_maps)
    live(mill, run.id, 110)
    assert run.output == output


def test_a_function_that_is_tried_again_after_a_season(mill: Mill) -> None:
    run = mill.send("fails", {"text": "x" * 2_000}).run(fails)
    live(mill, run.id, 130)
    assert run.output == "done"


def test_large_values_live_through_two_long_sleeps(mill: Mill) -> None:
    run = mill.send("keeps-large", {"text": LARGE}).run(keeps_large)
    live(mill, run.id, 610, every=30)
    assert run.output == 600_001
    steps = shown(mill, run.id)["steps"]
    for step in (steps[0], steps[2]):
        large = step["output"]["$large"]
        assert mill.http("GET", large[large.index("/v1/") :]).status == 200


@pytest.mark.slow  # looked at every hour
def test_a_run_that_is_held_for_a_season(mill: Mill) -> None:
    run = mill.send("naps", {"naps": ["1d"], "text": "x" * 2_000}).run(naps)
    mill.reload(App("other"))
    mill.advance(days=70)
    mill.reload(app)
    assert run.output == [0, 2_000]


def test_a_run_of_a_year_is_shown_for_sixty_days_after_its_end(mill: Mill) -> None:
    run = mill.send("naps", {"naps": ["10d"] * 9, "text": "x" * 2_000}).run(naps)
    live(mill, run.id, 90)
    assert run.status == "completed"
    mill.advance(days=58)
    assert len(shown(mill, run.id)["steps"]) == 18
    mill.advance(days=14)
    assert mill.http("GET", f"/v1/runs/{run.id}").status == 404


def test_a_short_run_is_gone_when_its_time_is_over(mill: Mill) -> None:
    run = mill.send("naps", {"naps": [], "text": "x" * 2_000}).run(naps)
    mill.advance(days=59)
    assert shown(mill, run.id)["status"] == "completed"
    mill.advance(days=2)
    assert mill.http("GET", f"/v1/runs/{run.id}").status == 404
