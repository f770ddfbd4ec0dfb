"""Where branches, errors, time and repetition meet: each of these once went wrong, or looked as if it could."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidemill import (
    App,
    AsyncContext,
    CancelOn,
    Context,
    NonRetriableError,
    RetryAfterError,
    StepError,
    StepTimeoutError,
    Wait,
)
from tidemill.testing import Mill

# Waits of the same kind, side by side.


def test_two_branches_that_wait_for_the_same_each_get_the_event(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[str]:
        def waits(name: str):
            return lambda: ctx.step.wait_for_event(name, "call").id

        return ctx.step.parallel(waits("a"), waits("b"))

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("call", id="1")
        assert run.output == ["1", "1"]


def test_a_cancel_on_survives_a_step_that_is_called_as_its_wait_was(serve):
    app = App("shop")

    @app.function(on="go", cancel_on=[CancelOn("stop", when="true")])
    def work(ctx: Context) -> None:
        ctx.step.wait_for_event("cancel0", "stop", when="async.data.n == 1")
        ctx.step.wait_for_event("later", "never")

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("stop", {"n": 2})
        assert run.status == "cancelled"


# What code does to what it is given.


def test_data_that_code_changes_is_as_it_was_when_it_runs_again(serve):
    app, seen = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> object:
        seen.append(dict(ctx.event.data))
        ctx.event.data["n"] = 99
        told = ctx.step.wait_for_signal("s", "tell", timeout="1h")
        told["n"] += 1
        found = ctx.step.wait_for_event("call", "call", match="data.n", timeout="1h")
        if found is not None:
            found.data["n"] = 98
        ctx.step.sleep("nap", "1m")
        return [told["n"], found is not None and found.data["n"]]

    with serve(app) as mill:
        run = mill.send("go", {"n": 1}).run()
        mill.signal("tell", {"n": 5})
        mill.send("call", {"n": 1})
        mill.advance("1m")
        assert run.output == [6, 98]
        assert all(data == {"n": 1} for data in seen)


# Errors that are hard to write down.


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unspeakable(), "Unspeakable"),
        (ValueError("caf\udce9.txt"), "caf\\udce9.txt"),
        (ValueError("x" * 100_000), "xxx"),
        (ExceptionGroup("both", [ValueError("a"), KeyError("b")]), "both"),
    ],
    ids=["no text", "surrogate", "long", "group"],
)
@pytest.mark.parametrize("place", ["step", "between"])
def test_any_error_can_be_remembered(serve, error, said, place):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        def fails() -> None:
            raise error

        if place == "step":
            ctx.step.run("fails", fails)
        fails()

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert run.error.type == type(error).__name__
        assert said in run.error.message
        assert len(run.error.message) <= 8_000


def test_an_output_whose_own_code_fails_is_an_error_of_the_run(serve):
    from pydantic import BaseModel, model_serializer

    class Broken(BaseModel):
        n: int = 1

        @model_serializer
        def write(self) -> dict[str, Any]:
            raise OSError("disk")

    class Strange(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise OSError("disk")

    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> object:
        return Strange(a=1)

    @app.function(on="go", retries=0)
    def model(ctx: Context) -> object:
        return Broken()

    with serve(app) as mill:
        for run in mill.send("go").runs:
            assert run.status in ("failed", "completed")


def test_a_time_that_is_none_is_retried_as_ever(serve):
    app, calls = App("shop"), []

    @app.function(on="go", retries=3, backoff="10s")
    def work(ctx: Context) -> int:
        def fails() -> int:
            calls.append(1)
            if len(calls) < 3:
                raise RetryAfterError(datetime(2026, 1, 1, 1))  # no zone  # noqa: DTZ001
            return len(calls)

        return ctx.step.run("fails", fails)

    with serve(app, seed=4) as mill:
        run = mill.send("go").run()
        assert len(calls) == 1, "it is not tried again at once"
        mill.advance("1m")
        assert run.output == 3


@pytest.mark.parametrize("when", [datetime.max.replace(tzinfo=UTC), "9999999w", timedelta(days=40_000)])
def test_a_time_too_far_ahead_is_cut(serve, when):
    app = App("shop")

    @app.function(on="go", retries=1)
    def work(ctx: Context) -> str:
        def fails() -> str:
            if ctx.attempt == 1:
                raise RetryAfterError(when)
            return "ok"

        return ctx.step.run("fails", fails)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert mill.http("GET", f"/v1/runs/{run.id}").status == 200
        mill.advance(days=366, minutes=1)
        assert run.output == "ok"


# Limits that only the engine, which has a clock, can hold.


@pytest.mark.parametrize("when", ["2030-01-01", "9999-12-31T23:59:59Z"])
def test_a_sleep_until_more_than_366_days_ahead_is_refused(serve, when):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.step.sleep_until("nap", when)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.attempt) == ("failed", 1)
        assert "366d" in run.error.message


def test_the_longest_sleep_is_slept_to_its_end_whatever_happens_meanwhile(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> str:
        ctx.step.parallel(lambda: ctx.step.sleep("long", "366d"), lambda: ctx.step.sleep("short", "1d"))
        return "awake"

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("365d")
        assert run.status == "sleeping"
        mill.advance("1d")
        assert run.output == "awake"


def test_an_event_more_than_366_days_ahead_is_refused(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.step.send_event("late", {"name": "late", "ts": 9_999_999_999_999})

    with serve(app) as mill:
        run = mill.send("go").run()
        assert (run.status, run.attempt) == ("failed", 1)
        assert "366d" in run.error.message
        assert mill.sent("late") == []


# Steps that are not where steps belong.


@pytest.mark.parametrize("where", ["step", "map", "async step"])
def test_a_step_inside_of_a_step_is_told(serve, where):
    app, ran = App("shop"), []

    if where == "async step":

        @app.function(on="go")
        async def work(ctx: AsyncContext) -> object:
            async def outer() -> object:
                return await ctx.step.run("inner", lambda: ran.append(1))

            return await ctx.step.run("outer", outer)
    else:

        @app.function(on="go")
        def work(ctx: Context) -> object:
            def outer(*_: object) -> object:
                return ctx.step.run("inner", lambda: ran.append(1))

            return ctx.step.map("outer", outer, [1]) if where == "map" else ctx.step.run("outer", outer)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert "'inner'" in run.error.message
        assert "inside of another step" in run.error.message
        assert ran == []


@pytest.mark.parametrize(
    ("before", "now"), [("wait", "run"), ("wait", "invoke"), ("invoke", "wait"), ("signal", "sleep"), ("wait", "send")]
)
def test_a_resolved_step_of_another_kind_is_told(before, now):
    def make(kind: str) -> App:
        app = App("shop")

        @app.function()
        def child(ctx: Context) -> int:
            return 1

        @app.function(on="go")
        def work(ctx: Context) -> object:
            kinds = {
                "wait": lambda: ctx.step.wait_for_event("x", "call"),
                "signal": lambda: ctx.step.wait_for_signal("x", "call"),
                "invoke": lambda: ctx.step.invoke("x", "shop.child"),
                "run": lambda: ctx.step.run("x", lambda: 1),
                "sleep": lambda: ctx.step.sleep("x", "1s"),
                "send": lambda: ctx.step.send_event("x", {"name": "e"}),
            }
            kinds[kind]()
            ctx.step.sleep("nap", "1h")
            return "ok"

        return app

    with Mill(make(before)) as mill:
        run = mill.send("go").run()
        mill.send("call")
        mill.signal("call", 1)
        assert run.status == "sleeping"
        mill.reload(make(now))
        mill.advance("1h")
        assert run.status == "failed"
        assert "'x'" in run.error.message
        assert "code changed" in run.error.message


# Crashes, and who answers for them.


def test_a_branch_that_slept_does_not_answer_for_a_crash_beside_it():
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> list[object]:
        def sleeper() -> str:
            ctx.step.sleep("nap", "1h")
            return ctx.step.run("after", lambda: "fine")

        def crasher() -> str:
            return ctx.step.options(retries=2).run("crashes", lambda: "survived")

        return ctx.step.parallel(sleeper, crasher)

    with Mill(app) as mill:
        mill.crash("crashes")
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == ["fine", "survived"]
        assert run.step("crashes").attempts == 2
        assert run.step("after").attempts == 1


def test_a_step_at_rest_does_not_answer_for_a_crash_beside_it():
    app, calls = App("shop"), []

    @app.function(on="go", retries=4)
    def work(ctx: Context) -> list[object]:
        def flaky() -> str:
            calls.append(1)
            if len(calls) == 1:
                raise RetryAfterError("1h")
            return "fine"

        return ctx.step.parallel(
            lambda: ctx.step.options(retries=1).run("flaky", flaky), lambda: ctx.step.run("crashes", lambda: "survived")
        )

    with Mill(app) as mill:
        mill.crash("crashes")
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == ["fine", "survived"]
        assert run.step("flaky").attempts == 2


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_a_step_that_always_kills_its_process_fails_and_can_be_caught(retries):
    app, attempts = App("shop"), []

    @app.function(on="go", retries=retries)
    def work(ctx: Context) -> str:
        try:
            return ctx.step.run("poison", lambda: attempts.append(ctx.attempt))
        except StepError as error:
            return f"{error.type} {error.step_id}"

    with Mill(app) as mill:
        mill.crash("poison", times=99)
        run = mill.send("go").run()
        mill.advance("1d")
        assert run.output == "Crashed poison"
        assert attempts == list(range(1, retries + 2))
        assert run.step("poison").attempts == retries + 1


# Asyncio.


def test_a_plain_step_that_hangs_is_given_up_and_the_run_ends():
    app, hold = App("shop"), threading.Event()

    @app.function(on="go", retries=0)
    async def work(ctx: AsyncContext) -> str:
        try:
            await ctx.step.options(timeout=0.02).run("hangs", hold.wait, 600)
        except StepTimeoutError:
            return "given up"
        return "?"

    try:
        with Mill(app) as mill:
            began = time.monotonic()
            assert mill.send("go").run().output == "given up"
            assert time.monotonic() - began < 300
    finally:
        hold.set()


def test_a_step_that_awaits_what_was_cancelled_has_failed(serve):
    app = App("shop")

    @app.function(on="go", retries=1)
    async def work(ctx: AsyncContext) -> object:
        async def cancelled() -> None:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

        try:
            await ctx.step.run("x", cancelled)
        except StepError as error:
            return [error.step_id, error.message]
        return None

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1m")
        assert run.output == ["x", "the step awaited what had been cancelled"]
        assert run.step("x").attempts == 2


def test_a_wait_that_the_code_gave_up_is_waited_for_no_more(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        task = asyncio.ensure_future(ctx.step.wait_for_event("call", "call", timeout="5m"))
        await asyncio.sleep(0)
        await ctx.step.run("a", lambda: 1)
        task.cancel()
        await ctx.step.sleep("nap", "1h")
        return "done"

    with serve(app) as mill:
        run = mill.send("go").run()
        if not mill._machine._restless:
            assert run.status == "sleeping"
        mill.advance("1h")
        assert run.output == "done"


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit()])
def test_what_ends_a_process_ends_a_run_only(serve, error):
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        ctx.step.run("a", lambda: 1)
        raise error

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "failed"
        assert run.error.type == "RuntimeError"


# Ids, times and repetition.


def test_an_event_id_that_comes_again_after_a_day_starts_once_more_each_day(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> int:
        return 1

    with serve(app) as mill:
        for day in range(1, 4):
            mill.send("go", id="daily")
            mill.advance("1h")
            mill.send("go", id="daily")
            assert len(mill.runs()) == day
            mill.advance("23h 1s")


def test_running_again_from_beside_a_map_starts_its_parts_anew(serve):
    app, items = App("shop"), []

    @app.function(on="go")
    def work(ctx: Context) -> object:
        def item(n: int) -> int:
            items.append(n)
            return n * 2

        def slow() -> str:
            ctx.step.sleep("nap", "1h")
            return ctx.step.run("slow", lambda: "slow")

        return ctx.step.parallel(lambda: ctx.step.map("m", item, [1, 2]), slow)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.output == [[2, 4], "slow"]
        for step in run.steps:
            again = run.rerun(from_step=step.id)
            mill.advance("1h")
            assert again.output == [[2, 4], "slow"], step.id


def test_wait_for_any_takes_the_earlier_of_two_even_where_labels_tie(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> object:
        ctx.step.sleep("nap", "1m")
        found = [ctx.step.wait_for_any(f"w{n}", {"b": Wait("b"), "a": Wait("a")}, timeout="1m") for n in range(3)]
        return [each and (each[0], each[1].id) for each in found]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send([{"name": "a", "id": "1"}, {"name": "b", "id": "2"}])
        mill.advance("3m")
        assert run.output == [["a", "1"], ["b", "2"], None]


def test_a_wait_used_again_in_a_loop_goes_through_the_events_in_order(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> list[object]:
        found = [ctx.step.wait_for_event("w", "call", timeout="10s") for _ in range(4)]
        return [each and each.id for each in found]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.send("call", id="1")
        mill.advance("10s")
        mill.send("call", id="2")
        mill.send("call", id="3")
        mill.advance("1m")
        assert [step.id for step in run.steps] == ["w", "w:1", "w:2", "w:3"]
        assert run.output == ["1", None, "2", "3"]


def test_a_non_retriable_item_of_a_map_in_a_branch(serve):
    app = App("shop")

    @app.function(on="go", retries=2)
    def work(ctx: Context) -> object:
        def item(n: int) -> int:
            if n == 3:
                raise NonRetriableError("three")
            return n

        def failing() -> object:
            try:
                return ctx.step.map("m", item, range(6), max_concurrency=2)
            except StepError as error:
                return error.message

        return ctx.step.parallel(failing, lambda: ctx.step.map("n", item, [1, 2]))

    with serve(app) as mill:
        assert mill.send("go").run().output == ["three", [1, 2]]


@pytest.mark.parametrize("keeps", ["socket", "timer"])
def test_what_a_library_keeps_open_does_not_keep_the_run_from_what_it_waits_for(serve, keeps, monkeypatch):
    import socket

    from tidemill.engine.drive.aio import pauses

    monkeypatch.setattr(pauses, "PATIENCE", 0.05)
    app = App("shop")

    async def heartbeat() -> None:
        while True:
            await asyncio.sleep(0.02)

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        task = asyncio.ensure_future(heartbeat()) if keeps == "timer" else None
        try:
            if keeps == "socket":
                loop.add_reader(one.fileno(), print)
            await ctx.step.run("before", lambda: 1)
            found = await ctx.step.wait_for_event("call", "call")
            return found.id
        finally:
            loop.remove_reader(one.fileno())
            one.close()
            other.close()
            if task is not None:
                task.cancel()

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "waiting"
        mill.send("call", id="1")
        assert run.output == "1"


def test_a_moment_awaited_between_steps_is_no_reason_to_leave():
    app, moments = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[object]:
        async def slowly() -> object:
            moments.append(1)
            await asyncio.sleep(0.05)
            return await ctx.step.run("slowly", lambda: "done")

        return await asyncio.gather(slowly(), ctx.step.wait_for_event("call", "call", timeout="1h"))

    with Mill(app) as mill:
        run = mill.send("go").run()
        assert run.step("slowly").status == "completed"
        assert moments == [1]


def test_a_run_cancelled_as_its_last_branch_at_work_ends_is_left(monkeypatch):
    from tidemill.engine.drive.drive import drive
    from tidemill.engine.runs.end import cancel
    from tidemill_local.testing import machine

    def parking(*args: Any, **given: Any) -> None:
        drive(*args, **{**given, "threads": True, "lot": lambda live: None, "park_from": 0})

    monkeypatch.setattr(machine, "drive", parking)
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        def ends() -> None:
            ctx.step.run("a", lambda: 1)
            cancel(mill._machine.world, ctx.run_id, "why not")

        ctx.step.parallel(lambda: ctx.step.wait_for_event("w", "never"), ends)

    with Mill(app) as mill:
        thread = threading.Thread(target=mill.send, args=("go",), daemon=True)
        thread.start()
        thread.join(120)
        assert not thread.is_alive(), "nobody waits for what nobody will say"
        assert mill.run().status == "cancelled"
