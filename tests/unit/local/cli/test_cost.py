"""What `tidemill cost` reads from a manifest, and the arithmetic of its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill.model import CronTrigger, EventTrigger, FunctionSpec, Trigger
from tidemill_local.cli import main
from tidemill_local.cost import scale
from tidemill_local.cost.beside import DURABLE, EXPRESS, STANDARD, beside
from tidemill_local.cost.data import prices, quotas, stories
from tidemill_local.cost.estimate import (
    EVENTS,
    IDLE,
    POLLS,
    RUNS,
    estimate,
    idle,
    idle_per_function,
    per_million,
    total,
)
from tidemill_local.cost.usage import Usage, of_manifest, runs_per_event, ticks

APP = """
from tidemill import App, Context, Cron

app = App("shop")
print("what the code prints is no part of the answer")

@app.function(on="order/placed")
def pack(ctx: Context) -> None: ...

@app.function(on=["order/placed", "order/paid"])
def bill(ctx: Context) -> None: ...

@app.function(on=Cron("0 * * * *"))
def hourly(ctx: Context) -> None: ...

@app.function()
def by_hand(ctx: Context) -> None: ...
"""
MILLION = Usage(1, 1_000_000, 1_000_000, 0, 10, 100, 256, "x86_64")


def spec(*triggers: str | Trigger) -> FunctionSpec:
    found = tuple(EventTrigger(t) if isinstance(t, str) else t for t in triggers)
    return FunctionSpec(id=f"a.{len(found)}", app="a", name="f", triggers=found)


@pytest.mark.parametrize(
    ("specs", "runs"),
    [
        ([], 0),
        ([spec()], 0),
        ([spec("a")], 1),
        ([spec("a"), spec("a")], 2),
        ([spec("a"), spec("b")], 1),
        ([spec("a"), spec("a", "b")], 1.5),
        ([spec("a", "a")], 1),  # one event starts a function at most once
        ([spec("user/*")], 1),
        ([spec("user/*"), spec("user/new")], 2),
        ([spec("user/*"), spec("user/new"), spec("order/new")], 1.5),
        ([spec(CronTrigger("* * * * *"))], 0),
    ],
)
def test_how_many_runs_an_event_starts(specs: list[FunctionSpec], runs: float) -> None:
    assert runs_per_event(specs) == runs


@pytest.mark.parametrize(
    ("cron", "times"), [("* * * * *", 43_200), ("0 * * * *", 720), ("0 9 * * *", 30), ("0 0 29 2 *", 0)]
)
def test_how_often_a_cron_trigger_fires_in_a_month(cron: str, times: int) -> None:
    assert ticks(CronTrigger(cron)) == times


def test_what_a_declaration_does_not_tell_is_said() -> None:
    conditional = FunctionSpec(id="a.f", app="a", name="f", triggers=(EventTrigger("x", "event.data.big"),))
    flow = FunctionSpec(id="a.g", app="a", name="g", flow={"concurrency": []})
    usage = of_manifest([conditional, flow], 1, 1, 1, 256, "arm64")
    assert [note.partition(" ")[0] for note in usage.notes] == ["a.f", "a.g", "a.g"]
    assert "flow control" in usage.notes[-1]


def test_every_line_is_count_times_price() -> None:
    lines = estimate(MILLION)
    assert lines
    for one in lines:
        assert one.usd == pytest.approx(one.count * one.usd_per / one.per)
        assert one.count > 0


def test_a_counted_unit_has_a_price() -> None:
    known = prices().prices.keys()
    for story in stories().values():
        assert story.units.keys() <= known


def test_twice_the_work_costs_twice_and_idling_the_same() -> None:
    double = Usage(1, 2_000_000, 2_000_000, 0, 10, 100, 256, "x86_64")
    for section, factor in ((RUNS, 2), (EVENTS, 2), (IDLE, 1)):
        once = total(line for line in estimate(MILLION) if line.section == section)
        assert total(line for line in estimate(double) if line.section == section) == pytest.approx(factor * once)


def test_an_idle_function_costs_its_polling_and_looks_at_its_dead_letters() -> None:
    one, two = (total(idle(Usage(n, 0, 0, 0, 0, 0, 256))) for n in (1, 2))
    looks = 43_200 / 10 * 0.40 / 1e6
    assert two - one == pytest.approx(idle_per_function())
    assert idle_per_function() == pytest.approx(POLLS * 0.40 / 1e6 + looks, abs=0.001)


def test_nothing_happens_costs_only_what_is_idle() -> None:
    lines = estimate(Usage(3, 0, 0, 0, 5, 100, 256))
    assert {line.section for line in lines if line.usd} == {IDLE}


def test_what_the_same_runs_cost_elsewhere() -> None:
    """Against AWS's own figures: a transition a step, an operation a step, and the same code."""
    others = {name: total(lines) for name, lines in beside(MILLION).items()}
    code = 1_000_000 * 10 * 0.1 * 0.25 * 16.6667 / 1e6
    assert others[STANDARD] == pytest.approx(10 * 25 + 2 + code)
    assert others[EXPRESS] == pytest.approx(1 + 1.2 / 16 * 16.67 + 2 + code)
    assert others[DURABLE] == pytest.approx(11 * 8 + 11 * 0.40 + 0.2 + 1.2 + code)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "costly_app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("app")
def test_the_command_prints_each_line_and_what_it_cannot_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "costly_app.py", "--events-per-month", "1_000_000", "--steps", "10"]) == 0
    shown = capsys.readouterr()
    assert "1,000,000 events and 1,500,720 runs a month" in shown.out
    assert prices().date in shown.out
    assert STANDARD in shown.out
    assert "shop.by-hand has no trigger" in shown.out
    assert "of which runs and their events $" in shown.out
    assert "what the code prints" not in shown.out


@pytest.mark.usefixtures("app")
def test_the_same_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "costly_app.py", "--events-per-month", "10", "--memory", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usage"]["runs"] == 15
    assert found["usage"]["memory"] == 512
    assert found["total"] == pytest.approx(sum(line["usd"] for line in found["lines"]))
    assert found["total"] == pytest.approx(sum(found["totals"].values()))
    assert found["beside"].keys() == {STANDARD, EXPRESS, DURABLE}


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("costly_app.py", 2, "--events-per-month"),
        ("costly_app.py --events-per-month many", 2, "many"),
        ("costly_app.py --events-per-month 1 --memory 64", 2, "128"),
        ("nothing.py --events-per-month 1", 2, "nothing.py"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    words: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cost", *words.split()]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_limit_that_is_not_reached_is_used_in_proportion() -> None:
    ten, hundred = (scale.loads(rate, scale.Work()) for rate in (10.0, 100.0))
    assert [load.quota.what for load in ten] == [load.quota.what for load in hundred]
    for few, many in zip(ten, hundred, strict=True):
        assert many.share == pytest.approx(10 * few.share)


def test_what_binds_first_is_first() -> None:
    shares = [load.share for load in scale.loads(1_000, scale.Work())]
    assert shares == sorted(shares, reverse=True)


def test_more_functions_and_names_spread_what_they_share() -> None:
    one = {(load.quota.what, load.key): load.used for load in scale.loads(1_000, scale.Work())}
    ten = {(load.quota.what, load.key): load.used for load in scale.loads(1_000, scale.Work(functions=10, names=10))}
    for (what, key), used in one.items():
        shared = "<function>" in key or "<name>" in key or what == quotas().quotas["pollers"].what
        shared = shared or what == quotas().quotas["in-flight"].what
        assert ten[what, key] == pytest.approx(used / 10 if shared else used), (what, key)


def test_the_rate_that_a_limit_allows() -> None:
    work = scale.Work(steps=10, duration_ms=100)
    rate = scale.most(work, "concurrency")
    load = next(load for load in scale.loads(rate, work) if load.quota == quotas().quotas["concurrency"])
    assert load.share == pytest.approx(1)


def test_a_sleep_costs_the_same_however_long() -> None:
    assert per_million("long sleep") > per_million("short sleep") > 0


def test_the_secrets_of_webhooks_have_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two webhooks of one sender share a secret."""
    code = "from tidemill import App\napp = App('shop')\n"
    webhook = "app.webhook({name!r}, scheme='github', secret='GITHUB')\n"
    (tmp_path / "shop.py").write_text(code + webhook.format(name="a") + webhook.format(name="b"))
    assert main(["cost", str(tmp_path / "shop.py"), "--events-per-month", "0", "--json"]) == 0
    found = {line["what"]: line for line in json.loads(capsys.readouterr().out)["lines"]}
    assert found["secrets for a month"]["count"] == 3
    (requests,) = [line for what, line in found.items() if what.startswith("requests of webhooks")]
    assert (requests["count"], round(requests["usd"], 3)) == (86_400, 0.432)


def test_the_schemas_of_events_have_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two versions of one name are read by one query."""
    (tmp_path / "shop.py").write_text("from tidemill import App\napp = App('shop')\n")
    command = ["cost", str(tmp_path / "shop.py"), "--events-per-month", "0", "--json"]
    assert main(command) == 0
    assert "schemas" not in "".join(line["what"] for line in json.loads(capsys.readouterr().out)["lines"])
    placed = tmp_path / "events" / "order" / "placed"
    placed.mkdir(parents=True)
    for version in "12":
        (placed / f"{version}.json").write_text('{"type": "object"}')
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["usage"]["schemas"] == 1
    (reads,) = [line for line in found["lines"] if line["what"].startswith("read units of the schemas of 1 event,")]
    assert reads["count"] == 43_200  # half a unit for the names, and half for the name's own
    assert 0 < reads["usd"] < 0.02
