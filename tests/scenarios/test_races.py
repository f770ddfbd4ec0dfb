"""Code that races its steps takes the same branch at first and in every replay, wherever that is cut off.

A program is drawn at random: steps, sleeps and waits under gather, wait, as_completed, TaskGroup and timeout. What a
race decides is noted in a step of its own; a later execution that decides otherwise is found by its note.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidemill import App, AsyncContext, NonRetriableError, StepError
from tidemill.core.journal import Terminal
from tidemill.model import Head
from tidemill.testing import Mill

EVENTS = ("e0", "e1")
Program = tuple[Any, ...]

leaves = st.one_of(
    st.tuples(st.just("step"), st.integers(0, 2)),  # an async step that pauses so often
    st.tuples(st.just("plain")),
    st.tuples(st.just("fails"), st.integers(0, 2)),
    st.tuples(st.just("sleep"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from(EVENTS)),
    st.tuples(st.just("any")),
    st.tuples(st.just("signal")),
)


def nested(children: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
    many = st.lists(children, min_size=2, max_size=3)
    return st.one_of(
        st.tuples(st.just("sequence"), many),
        st.tuples(st.just("gather"), many),
        st.tuples(st.just("first"), many, st.booleans()),  # whether the losers are cancelled
        st.tuples(st.just("as_completed"), many, st.integers(1, 3)),
        st.tuples(st.just("group"), many),
        st.tuples(st.just("parallel"), many),
        st.tuples(st.just("timeout"), children),
    )


def fair(program: Program, timed: bool = False) -> bool:
    """Until 3.13 a TaskGroup that fails just when a timeout comes cancels the task around it for good."""
    kind, *rest = program
    inner = rest[0] if rest and isinstance(rest[0], list) else rest if kind == "timeout" else []
    return not (timed and kind == "group") and all(fair(each, timed or kind == "timeout") for each in inner)


programs = st.recursive(leaves, nested, max_leaves=8).filter(fair)
sends = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([*EVENTS, "signal"])), max_size=5)


class Machine:
    """Carries out a program; every execution numbers its steps and its decisions as it comes to them."""

    def __init__(self, ctx: AsyncContext, differs: list[Any]) -> None:
        self._ctx = ctx
        self._differs = differs

    async def do(self, program: Program, name: str) -> Any:
        kind, *rest = program
        step = self._ctx.step
        if kind == "step":
            return await step.run(name, pauses, name, *rest)
        if kind == "plain":
            return await step.run(name, lambda: name)
        if kind == "fails":
            try:
                return await step.run(name, fails, *rest)
            except StepError:
                return f"{name} failed"
        if kind == "sleep":
            await step.sleep(name, rest[0] * 60)
            return name
        if kind == "wait":
            found = await step.wait_for_event(name, rest[0], timeout="2m")
            return f"{name} {found and found.id}"
        if kind == "any":
            from tidemill import Wait

            which = await step.wait_for_any(name, {each: Wait(each) for each in EVENTS}, timeout="3m")
            return f"{name} {which and which[0]}"
        if kind == "signal":
            return f"{name} {await step.wait_for_signal(name, 's', timeout='2m')}"
        if kind == "timeout":
            return await self._note(name, await self._within(rest[0], name))
        inner = [partial(self.do, each, f"{name}.{n}") for n, each in enumerate(rest[0])]
        return await self._note(name, await getattr(self, f"_{kind}")(inner, *rest[1:]))

    async def _note(self, name: str, decided: Any) -> Any:
        noted = await self._ctx.step.run(f"{name} decided", lambda: decided)
        if noted != decided:
            self._differs.append((name, noted, decided))
        return decided

    async def _within(self, program: Program, name: str) -> Any:
        try:
            async with asyncio.timeout(0.004):
                return await self.do(program, f"{name}.t")
        except TimeoutError:
            return "too late"

    async def _sequence(self, inner: list[Callable[[], Awaitable[Any]]]) -> Any:
        return [await each() for each in inner]

    async def _gather(self, inner: list[Callable[[], Awaitable[Any]]]) -> Any:
        told: list[int] = []

        async def follow(n: int) -> None:
            await inner[n]()
            told.append(n)

        await asyncio.gather(*map(follow, range(len(inner))))
        return told

    async def _first(self, inner: list[Callable[[], Awaitable[Any]]], cancel: bool) -> Any:
        tasks = [asyncio.ensure_future(each()) for each in inner]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending if cancel else ():
            task.cancel()
        return sorted(str(task.result()) for task in done)

    async def _as_completed(self, inner: list[Callable[[], Awaitable[Any]]], most: int) -> Any:
        found: list[Any] = []
        tasks = [asyncio.ensure_future(each()) for each in inner]  # it would begin coroutines in any order
        for each in asyncio.as_completed(tasks):
            found.append(await each)
            if len(found) == most:
                break
        return found

    async def _group(self, inner: list[Callable[[], Awaitable[Any]]]) -> Any:
        ended: list[int] = []

        async def follow(n: int) -> None:
            if "failed" in str(await inner[n]()):
                raise LookupError(n)
            ended.append(n)

        try:
            async with asyncio.TaskGroup() as group:
                for n in range(len(inner)):
                    group.create_task(follow(n))
        except* LookupError as errors:
            ended += [-1 - int(str(each)) for each in errors.exceptions]
        return ended

    async def _parallel(self, inner: list[Callable[[], Awaitable[Any]]]) -> Any:
        return await self._ctx.step.parallel(*inner)


async def pauses(name: str, count: int) -> str:
    for _ in range(count):
        await asyncio.sleep(0)
    return name


async def fails(count: int) -> None:
    await pauses("", count)
    raise NonRetriableError("no")


def app_of(program: Program, differs: list[Any]) -> App:
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> str:
        found = str(await Machine(ctx, differs).do(program, "x"))
        await ctx.step.sleep("rest", "10m")
        return found

    return app


def tell(mill: Mill, sent: list[tuple[int, str]]) -> None:
    for minutes, what in sent:
        mill.advance(minutes=minutes)
        if what == "signal":
            mill.signal("s", what)
        else:
            mill.send(what)
    mill.advance("1h")


@pytest.mark.parametrize("replays", [False, True])
@given(program=programs, sent=sends)
@example(program=("first", [("timeout", ("plain",)), ("plain",)], True), sent=[])
@example(program=("group", [("timeout", ("any",)), ("first", [("fails", 0), ("plain",)], True)]), sent=[(2, "e1")])
@settings(max_examples=30)
def test_a_race_has_one_winner(replays, program, sent):
    differs: list[Any] = []
    with Mill(app_of(program, differs), replays=replays) as mill:
        run = mill.send("go").run()
        tell(mill, sent)
        if raced_by_a_timer(program, run):
            return
        assert run.status == "completed", run
        assert differs == []
        records = mill._machine.stores.runs.read(run.id)
    for cut in range(2, len(records)):
        if not replays and not isinstance(records[cut - 1], Terminal):
            begin_at(app_of(program, differs), records[:cut], records[cut - 1].at)
            assert differs == [], f"cut after record {cut - 1}: {records[cut - 1]}"


def raced_by_a_timer(program: Program, run: Any) -> bool:
    """Whether a timer came just as a step ended, on a busy machine: that is in no record (docs/guides/branches.md).

    Then the run fails by name; it takes no other way in silence.
    """
    return "'timeout'" in repr(program) and run.status == "failed" and "NonDeterministicError" in repr(run)


def begin_at(app: App, records: list[Any], at: int) -> None:
    """The run goes on from this part of its journal, on a machine of its own."""
    with Mill(app, now=datetime.fromtimestamp(at / 1_000, UTC)) as mill:
        started = records[0]
        head = Head("old", "shop.work", "running", started.at, at, event_ids=("e",), started_at=started.at)
        assert mill._machine.world.runs.create(head, records)
        mill.advance("1h")
        (run,) = mill.runs()
        assert run.status == "completed", run


def both_at_once(order: list[str]) -> App:
    """Two steps that end in one turn of the loop."""
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[str]:
        gate = asyncio.Event()

        async def ends(n: str) -> str:
            if order[-1] == n:
                gate.set()
            await gate.wait()
            return n

        tasks = [asyncio.ensure_future(ctx.step.run(n, ends, n)) for n in order]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        won = sorted(task.result() for task in done)
        noted = await ctx.step.run("note", lambda: won)
        await ctx.step.sleep("nap", "1h")
        return [str(noted), str(won)]

    return app


@pytest.mark.parametrize("order", [["1", "2"], ["2", "1"]])
def test_two_steps_that_end_in_one_turn_are_told_one_by_one(order):
    with Mill(both_at_once(order)) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == [f"['{order[0]}']"] * 2 or run.output == [f"['{order[1]}']"] * 2


def test_a_step_that_a_timeout_gave_up_is_given_up_again_without_its_body(serve):
    app, ran = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> list[str]:
        async def slow() -> None:
            ran.append(1)
            await asyncio.sleep(600 if len(ran) == 1 else 0)

        said = "in time"
        try:
            async with asyncio.timeout(0.01):
                await ctx.step.run("slow", slow)
        except TimeoutError:
            said = "too late"
        noted = await ctx.step.run("note", lambda: said)
        await ctx.step.sleep("nap", "1h")
        await ctx.step.run("last", lambda: 1)
        return [noted, said]

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.output == ["too late", "too late"]
        if not mill._machine._restless:
            assert ran == [1]


def test_a_step_that_never_pauses_holds_up_no_other():
    app, order = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        async def busy() -> None:
            while "after" not in order:
                await asyncio.sleep(0)

        async def quick() -> None:
            await ctx.step.run("quick", lambda: 1)
            order.append("after")

        await asyncio.gather(ctx.step.run("busy", busy), quick())

    with Mill(app) as mill:
        assert mill.send("go").run().status == "completed"
