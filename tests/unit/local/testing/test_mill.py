"""Mill itself: time, doubles, handles, and what a failing test gets to see."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from tidemill import App, Context, Cron, EventError
from tidemill.testing import Mill

app = App("shop")


@app.function(on="go", retries=1)
def work(ctx: Context) -> str:
    found = ctx.step.run("look up", look_up, ctx.event.data.get("id", 1), deep=True)
    ctx.step.sleep("nap", "1h")
    return found


@app.function()
def only_invoked(ctx: Context) -> int:
    return ctx.event.data["n"] + 1


@app.function(on="parent", retries=0)
def parent(ctx: Context) -> int:
    return ctx.step.invoke("child", "elsewhere.child", {"n": 1})


def look_up(number: int, *, deep: bool) -> str:
    return f"{number} {deep}"


def test_time_moves_only_when_the_test_says_so() -> None:
    with Mill(app, now="2026-11-01T09:00") as mill:
        start = datetime(2026, 11, 1, 9, tzinfo=UTC)
        assert mill.now == start
        mill.advance("1h30m")
        mill.advance(30)
        mill.advance(timedelta(days=1), hours=2, minutes=1)
        assert mill.now == start + timedelta(days=1, hours=3, minutes=31, seconds=30)
        mill.set_time(datetime(2027, 1, 1, tzinfo=UTC))
        assert mill.now == datetime(2027, 1, 1, tzinfo=UTC)
        with pytest.raises(ValueError, match="does not go back"):
            mill.set_time("2026-12-31")
        with pytest.raises(ValueError, match="negative"):
            mill.advance(days=-1)


def test_what_is_sent_has_an_order() -> None:
    with Mill(app) as mill:
        first, second = mill.send([{"name": "go"}, {"name": "go"}]).runs
        assert second.created_at - first.created_at == timedelta(milliseconds=1)
        assert mill.runs() == [first, second]
        assert mill.runs(work, status="sleeping") == [first, second]


def test_a_stub_stands_in_and_remembers_its_calls() -> None:
    with Mill(app) as mill:
        stub = mill.stub("look up", returns="found")
        run = mill.send("go", {"id": 7}).run(work)
        mill.advance("1h")
        assert run.output == "found"
        ((args, kwargs),) = stub.calls
        assert (args, kwargs) == ((7,), {"deep": True})
        assert repr(stub) == "<Stub called 1 times>"


def test_a_stub_that_fails_at_first() -> None:
    with Mill(app) as mill:
        mill.stub("look up", raises=[OSError("down")], returns="found")
        run = mill.send("go").run(work)
        mill.advance("2h")
        assert (run.output, run.step("look up").attempts) == ("found", 2)


def test_a_stub_that_always_fails_and_one_that_computes() -> None:
    with Mill(app) as mill:
        mill.stub("look up", raises=OSError("down"))
        run = mill.send("go").run(work)
        mill.advance("1h")
        assert (run.error.type, run.step("look up").attempts) == ("OSError", 2)
        mill.stub("look up", lambda number, deep: f"{number}!")
        again = run.rerun(input={"id": 3})
        mill.advance("1h")
        assert again.output == "3!"


def test_the_error_that_a_stub_raises_each_time_does_not_grow() -> None:
    error = OSError("down")
    with Mill(app) as mill:
        mill.stub("look up", raises=error)
        for _ in range(3):
            mill.send("go")
            mill.advance("1d")
            frames = list(traceback.walk_tb(error.__traceback__))
            assert len(frames) == len({frame.f_code for frame, _ in frames}), "each attempt begins anew"


def test_a_function_that_this_mill_does_not_serve_can_be_stubbed() -> None:
    with Mill(app) as mill:
        child = mill.stub("child", lambda data: data["n"] + 41)
        assert mill.send("parent").run().output == 42
        assert child.calls[0].args == ({"n": 1},)
        mill.stub("child", raises=ValueError("no"))
        assert mill.send("parent").run().error.message == "no"


def test_what_a_failing_test_gets_to_see() -> None:
    mill = Mill(app)
    mill.stub("look up", raises=KeyError("missing"))
    run = mill.send("go").run(work)
    mill.advance("1m")
    assert repr(run) == "<Run shop.work failed: KeyError: 'missing' (in step 'look up')>"
    assert run.error["type"] == "KeyError"
    with pytest.raises(AssertionError) as caught, mill:
        raise AssertionError("the test's own")
    assert str(caught.value) == "the test's own"
    (note,) = caught.value.__notes__
    assert note.startswith(f"shop.work (run {run.id}) failed: KeyError: 'missing'")
    assert "Traceback" in note


def test_what_is_asked_for_and_not_there_is_told() -> None:
    with Mill(app) as mill:
        sent = mill.send("go")
        with pytest.raises(LookupError, match=r"started 0 runs of 'shop.other', not one; it started: shop.work"):
            sent.run("shop.other")
        with pytest.raises(LookupError, match="its steps: 'look up', 'nap'"):
            sent.run().step("zzz")
        with pytest.raises(LookupError, match=r"this Mill serves: shop\.only-invoked, shop.parent, shop.work"):
            mill.invoke("shop.other")
        with pytest.raises(LookupError, match=r"'shop.wrok'; did you mean shop.work\b"):
            mill.runs("shop.wrok")
        with pytest.raises(EventError, match="only the platform"):
            mill.send("tidemill/function.failed")
        with pytest.raises(ValueError, match="366 days"):
            mill.send("go", ts=mill.now + timedelta(days=367))
        with pytest.raises(TypeError, match="the fields go into each"):
            mill.send([{"name": "go"}], {"a": 1})  # type: ignore[call-overload]
        mill.send("go")
        with pytest.raises(LookupError, match="2 such runs"):
            mill.run(work)


def test_invoking() -> None:
    with Mill(app) as mill:
        run = mill.invoke(only_invoked, {"n": 1})
        assert (run.output, run.event.name) == (2, "tidemill/function.invoked")
        assert mill.invoke("shop.only-invoked", {"n": 2}).output == 3


def test_what_a_mill_does_not_serve() -> None:
    with pytest.raises(ValueError, match="backend is 'memory' or 'moto', not 'aws'"):
        Mill(app, backend="aws")
    with pytest.raises(ValueError, match="two apps are named 'shop'"):
        Mill(app, App("shop"))
    with pytest.raises(TypeError, match="a Mill serves apps"):
        Mill(work)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="serves no app"):
        Mill().send("go")


def test_handles_can_be_read_when_the_mill_is_closed() -> None:
    with Mill(app) as mill:
        run = mill.send("go").run(work)
    assert run.status == "sleeping"
    assert app.transport is None
    with pytest.raises(RuntimeError, match="any more"):
        mill.send("go")


def test_a_mill_within_a_mill() -> None:
    with Mill(app) as outer, Mill(app) as inner:
        app.send("go")
        assert (len(outer.runs()), len(inner.runs())) == (0, 1)
        inner.close()
        app.send("go")
        assert (len(outer.runs()), len(inner.runs())) == (1, 1)


def test_the_http_api() -> None:
    with Mill(app) as mill:
        sent = mill.http("POST", "/e/any-key", [{"name": "go", "id": "e1"}])
        assert (sent.status, sent.json) == (200, {"ids": ["e1"], "status": 200})
        (run,) = mill.http("GET", "/v1/events/e1/runs").json["data"]
        assert (run["function_id"], run["status"]) == ("shop.work", "sleeping")
        assert mill.http("DELETE", f"/v1/runs/{run['run_id']}").json["data"]["status"] == "cancelled"
        assert mill.run().status == "cancelled"
        assert mill.http("GET", "/v1/nothing").status == 404


def test_a_test_of_functions_that_go_round_in_a_circle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    circle = App("circle")

    @circle.function(on="a")
    def again(ctx: Context) -> None:
        ctx.step.send_event("again", {"name": "a"})

    monkeypatch.setattr("tidemill_local.testing.machine.RESTLESS", 500)
    with Mill(circle) as mill, pytest.raises(RuntimeError, match="do not come to rest"):
        mill.send("a")


def test_the_code_under_test_does_not_move_time() -> None:
    inner = App("inner")

    @inner.function(on="a", retries=0)
    def naughty(ctx: Context) -> None:
        ctx.step.run("x", mill.advance, 3)

    with Mill(inner) as mill:
        assert "mill.advance is for the test" in mill.send("a").run().error.message


def test_months_pass_in_milliseconds() -> None:
    """A generous bound, of computing: a look at every waiting run every hour costs minutes."""
    months = App("months")
    ticks: list[int] = []

    @months.function(on=Cron("0 * * * *"))
    def hourly(ctx: Context) -> None:
        ctx.step.run("tick", ticks.append, 1)

    @months.function(on="go")
    def waiting(ctx: Context) -> str:
        ctx.step.sleep("a month", "30d")
        return "done" if ctx.step.wait_for_event("x", "never", timeout="150d") is None else "?"

    @months.function(on="go")
    def forever(ctx: Context) -> None:
        ctx.step.wait_for_event("x", "never")

    with Mill(months) as mill:
        mill.send([{"name": "go"} for _ in range(200)])
        start = time.process_time()
        mill.advance(days=180)
        took = time.process_time() - start
        assert len(ticks) == 180 * 24
        assert {run.output for run in mill.runs(waiting)} == {"done"}
        assert {run.status for run in mill.runs(forever)} == {"waiting"}
    assert took < 20


def test_the_fixture_serves_the_apps_of_the_module(mill: Mill) -> None:
    assert mill.send("go").run(work).status == "sleeping"


marked = App("marked")


@pytest.mark.mill(marked, now="2030-01-01")
def test_the_fixture_serves_the_apps_of_the_mark(mill: Mill) -> None:
    assert mill.now.year == 2030
    assert mill.send("go").runs == []
    assert repr(mill) == "<Mill of marked at 2030-01-01T00:00:00.001+00:00>"


def test_the_fixture_can_be_given_apps(mill: Mill) -> None:
    mill(marked)  # type: ignore[operator]
    assert mill.send("go").runs == []


def test_the_plugin_alone_imports_nothing_heavy() -> None:
    program = f"import sys; sys.path[:] = {sys.path!r}; import pytest; before = set(sys.modules)\n"
    program += "import tidemill.testing_plugin; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "sqlite3", "pydantic", "cel", "http.client", "tidemill_local", "tidemill.engine"}
    assert set(done.stdout.split()) & heavy == set()


def test_a_failing_test_says_why_its_runs_failed(tmp_path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from tidemill import App\n"
        "app = App('a')\n"
        "@app.function(on='go', retries=0)\n"
        "def work(ctx):\n"
        "    raise ValueError('the reason')\n"
        "def test_it(mill):\n"
        "    assert mill.send('go').run().status == 'completed'\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tidemill.testing_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "a.work (run " in done.stdout
    assert "ValueError: the reason" in done.stdout
