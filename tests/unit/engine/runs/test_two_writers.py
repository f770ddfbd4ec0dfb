"""What comes between two writes of the engine, and writes whose answers are lost."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tidemill import App, AsyncContext, CancelOn, Concurrency, Context, Debounce
from tidemill.core.journal import Cancelled, Claimed, Record, Resolved, Started, StepDone, Suspended
from tidemill.core.state import fold
from tidemill.engine.drive import parking
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.intake import receive
from tidemill.engine.intake.start import begin, start
from tidemill.engine.runs import match_waits
from tidemill.engine.runs.create import NewRun
from tidemill.engine.runs.end import cancel
from tidemill.errors import Unavailable
from tidemill.model import Condition, Event, FunctionSpec, Head, Wait
from tidemill.ports import APPENDED
from tidemill.testing import Mill
from tidemill_local.testing.machine import EPOCH

# Events that cancel, and come before the run is created.


@pytest.mark.parametrize(("after", "status"), [(-1, "scheduled"), (0, "cancelled"), (1, "cancelled")])
@pytest.mark.parametrize("order", [1, 2])
def test_an_event_that_cancels_may_be_stored_before_the_run_is_created(order: int, after: int, status: str) -> None:
    """The two travel by different queues: the run's own message may be the late one."""
    app = App("shop")

    @app.function(on="order/placed", cancel_on=CancelOn("order/withdrawn", match="data.order_id"))
    def work(ctx: Context) -> None:
        ctx.step.sleep("picking", "1h")

    with Mill(app) as mill:
        world = mill._machine.world
        placed = Event("e1", "order/placed", {"order_id": 1}, EPOCH, EPOCH)
        withdrawn = Event("e2", "order/withdrawn", {"order_id": order}, EPOCH + after, EPOCH + after)
        for event in (placed, withdrawn):
            receive.store(world, event)
        run_id = start(world, NewRun(work.spec, (placed,))).began
        assert run_id is not None
        head = world.runs.head(run_id)
        assert head is not None
        assert head.status == (status if order == 1 else "scheduled")
        assert (head.due is None) == (head.status == "cancelled"), "its end has had its effects"


# Writes whose answers are lost.


@pytest.fixture
def sleeping() -> App:
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> Any:
        return ctx.step.wait_for_signal("s", "signal")

    return app


def made_twice(mill: Mill) -> None:
    """The next append of an outsider is made, its answer is lost, and the store's client makes it again."""
    runs = mill._machine.world.runs
    append = runs.append

    def lost(*asked: Any) -> Any:
        runs.append = append  # type: ignore[method-assign]
        assert append(*asked) == APPENDED
        return append(*asked)

    runs.append = lost  # type: ignore[method-assign]


def test_a_cancel_whose_answer_was_lost_has_cancelled(sleeping: App) -> None:
    with Mill(sleeping) as mill:
        run = mill.send("go").run()
        made_twice(mill)
        answer = mill.http("DELETE", f"/v1/runs/{run.id}")
        assert (answer.status, run.status) == (200, "cancelled")
        assert mill.http("DELETE", f"/v1/runs/{run.id}").status == 409
        head = mill._machine.world.runs.head(run.id)
        assert head is not None
        assert head.due is None, "its end has had its effects"


def test_a_signal_whose_answer_was_lost_has_been_told_once(sleeping: App) -> None:
    with Mill(sleeping) as mill:
        run = mill.send("go").run()
        made_twice(mill)
        assert mill.signal("signal", 7) == [run]
        assert run.output == 7
        told = [record for record in mill._machine.world.runs.read(run.id) if isinstance(record, Resolved)]
        assert len(told) == 1


def test_a_cancel_that_another_one_was_faster_than_has_not_cancelled(sleeping: App) -> None:
    with Mill(sleeping) as mill:
        run = mill.send("go").run()
        runs = mill._machine.world.runs
        append = runs.append

        def late(*asked: Any) -> Any:
            runs.append = append  # type: ignore[method-assign]
            assert cancel(mill._machine.world, run.id, "the other one") is True
            return append(*asked)

        runs.append = late  # type: ignore[method-assign]
        assert run.cancel("this one") is False
        assert run.reason == "the other one"


# An event that opens a window, and another one that comes to it first.


@pytest.mark.parametrize("joins", [False, True])
def test_an_event_is_in_one_run_where_a_deploy_takes_its_debounce_away(joins: bool) -> None:
    """The run that its window names is another event's; its message comes again after the deploy."""
    app, now = App("shop"), App("shop")

    @app.function(on="go", debounce=Debounce("1m"))
    def work(ctx: Context) -> None: ...

    @now.function(on="go", id="work")
    def plain(ctx: Context) -> None: ...

    first, second = (Event(f"e{n}", "go", {}, EPOCH, EPOCH) for n in (1, 2))
    with Mill(app) as mill:
        world = mill._machine.world
        create = world.runs.create

        def fails(*_: Any) -> bool:
            world.runs.create = create  # type: ignore[method-assign]
            raise Unavailable("it is down")

        world.runs.create = fails  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            begin(world, work.spec, first)
        run_id = begin(world, work.spec, second).began
        assert run_id is not None
        if joins:
            assert begin(world, work.spec, first).began is None
        mill._machine.registry.replace([plain.spec], "2")
        for _ in range(2):
            begin(world, plain.spec, first)
        runs = {head.run_id for event in (first, second) for head in world.runs.of_event(event.id)}
        assert len(runs) == (1 if joins else 2)


# What is read of a journal to which others append meanwhile.


def test_an_executor_that_reads_the_whole_journal_knows_nothing_after_its_claim() -> None:
    """Its snapshot is gone, and the run was cancelled before it began to read: its first append must be lost."""
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.step.run("a", lambda: 1)

    with Mill(app) as mill:
        world = mill._machine.world
        run_id = start(world, NewRun(work.spec, (Event("e1", "go", {}, EPOCH, EPOCH),))).began
        assert run_id is not None
        opened = open_run(world, run_id, "late", EPOCH + 40_000)
        assert opened is not None
        assert cancel(world, run_id, "it is not needed any more")
        behind = msgspec.structs.replace(opened, records=opened.records[1:], base=1)
        drive(work, behind, StoreKeeper(world), world.clock, world.entropy)
        assert [type(record) for record in world.runs.read(run_id)] == [Started, Claimed, Cancelled]


def test_a_claim_after_a_decision_is_given_each_record_once() -> None:
    """Limits have changed, so a decision comes before the claim; and between the two comes what somebody else wrote."""
    app, now = App("shop"), App("shop")

    @app.function(on="go", concurrency=Concurrency(1))
    def work(ctx: Context) -> None: ...

    @now.function(on="go", id="work", concurrency=Concurrency(1, key="event.data.user"))
    def changed(ctx: Context) -> None: ...

    with Mill(app) as mill:
        world = mill._machine.world
        run_id = start(world, NewRun(work.spec, (Event("e1", "go", {"user": 1}, EPOCH, EPOCH),))).began
        assert run_id is not None
        mill._machine.registry.replace([changed.spec], "2")
        read = world.runs.read

        def late(*asked: Any) -> list[Record]:
            world.runs.read = read  # type: ignore[method-assign]
            known = len(read(run_id))
            assert world.runs.append(run_id, known, [Resolved("nobody", EPOCH)]) == APPENDED
            return read(*asked)

        world.runs.read = late  # type: ignore[method-assign]
        opened = open_run(world, run_id, "me", EPOCH + 40_000)
        assert opened is not None
        assert world.runs.read == read
        assert opened.records == read(run_id)


def test_code_that_races_its_steps_takes_none_for_the_winner_whose_run_was_lost() -> None:
    """Another executor has claimed the run: the branch ends, and the code that awaits it must not go on."""
    app, went = App("shop"), []

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        branches = [asyncio.ensure_future(ctx.step.run(id, asyncio.sleep, 0)) for id in ("a", "b")]
        done, _ = await asyncio.wait(branches, return_when=asyncio.FIRST_COMPLETED)
        went.append(len(done))

    with Mill(app) as mill:
        world = mill._machine.world
        run_id = start(world, NewRun(work.spec, (Event("e1", "go", {}, EPOCH, EPOCH),))).began
        assert run_id is not None
        slow = open_run(world, run_id, "slow", EPOCH + 1)
        assert slow is not None
        assert world.runs.append(run_id, len(slow.records), [Claimed(EPOCH + 2, "fast", EPOCH + 40_000)]) == APPENDED
        drive(mill._machine.functions["shop.work"], slow, StoreKeeper(world), world.clock, world.entropy)
        assert went == []


# Code that stands in memory while its run sleeps.


CLAIM, SUSPENDED = Claimed(2, "here/1", 9), Suspended(3, 8, ())
AGAIN, ELSEWHERE = Claimed(8, "here/2", 99), Claimed(7, "there/1", 99)
TOLD = Resolved("w", 6)


@pytest.mark.parametrize(
    ("came", "follows"),
    [
        ([AGAIN], True),
        ([TOLD, AGAIN], True),
        ([TOLD, Resolved("v", 7), AGAIN], True),
        ([ELSEWHERE, StepDone("b", "run", 7, 7), Suspended(7, 8, ()), AGAIN], False),
        ([ELSEWHERE, AGAIN], False),
        ([TOLD], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("base", [0, 2, 4])
def test_parked_code_goes_on_where_nobody_else_had_the_run(came: list[Record], follows: bool, base: int) -> None:
    born = Started(1, "f", (Event("e", "n", {}, 1, 1),))
    stood: list[Record] = [born, CLAIM, StepDone("a", "run", 2, 2), SUSPENDED]
    nobody: Any = None
    head, spec = Head("r", "f", "running", 1, 2), FunctionSpec("f", "a", "f")
    live = LiveRun(head, spec, fold(stood), nobody, nobody, nobody)
    assert parking.follows(live, Opened(head, spec, [*stood, *came][base:], base)) is follows


def test_parked_code_does_not_go_on_from_a_snapshot_of_others() -> None:
    """What stands before the snapshot is not there to be looked at."""
    born = Started(1, "f", (Event("e", "n", {}, 1, 1),))
    stood: list[Record] = [born, CLAIM, SUSPENDED]
    nobody: Any = None
    head, spec = Head("r", "f", "running", 1, 2), FunctionSpec("f", "a", "f")
    live = LiveRun(head, spec, fold(stood), nobody, nobody, nobody)
    assert not parking.follows(live, Opened(head, spec, [AGAIN], base=10))


# The bounds of a wait.


@pytest.mark.parametrize(
    ("received_at", "accepted"), [(99, False), (100, False), (101, True), (199, True), (200, True), (201, False)]
)
def test_a_wait_takes_what_is_received_after_its_beginning_up_to_its_last_millisecond(
    received_at: int, accepted: bool
) -> None:
    wait = Wait("r", "f", "w", "call", Condition(), after=100, until=200, own="mine")
    with Mill(App("shop")) as mill:
        world = mill._machine.world
        event = Event("e", "call", {}, 1, received_at)
        assert match_waits.accepts(world, wait, event, set()) is accepted
        assert match_waits.accepts(world, wait, event, {(match_waits.digest(wait), "e")}) is False
        assert match_waits.accepts(world, wait, Event("mine", "call", {}, 1, received_at), set()) is False


@pytest.mark.parametrize(("late", "output"), [(0, "called"), (1, None)])
def test_an_event_of_the_last_millisecond_is_found_at_the_timeout(late: int, output: str | None) -> None:
    """It is stored, and its message is late: the timeout looks back, and decides by the time of receipt."""
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> str | None:
        found = ctx.step.wait_for_event("w", "call", timeout="1m")
        return "called" if found is not None else None

    with Mill(app) as mill:
        run = mill.send("go").run()
        until = mill._machine.clock.now() + 60_000
        receive.store(mill._machine.world, Event("e", "call", {}, 1, until + late))
        mill.advance("2m")
        assert (run.status, run.output) == ("completed", output)


# The memory of an event's id.


@pytest.mark.parametrize("ts", [EPOCH - 300 * 86_400_000, EPOCH])
def test_an_id_is_remembered_from_its_receipt_whatever_its_ts(ts: int) -> None:
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> int:
        return ctx.event.data["n"]

    with Mill(app) as mill:
        mill.http("POST", "/e/k", {"name": "go", "id": "e", "ts": ts, "data": {"n": 1}})
        mill.advance(hours=23)
        mill.http("POST", "/e/k", {"name": "go", "id": "e", "ts": ts, "data": {"n": 2}})
        kept = mill.event("e")
        assert kept is not None
        assert kept.data == {"n": 1}
        assert len(mill.runs()) == 1
        mill.advance(hours=2)
        mill.http("POST", "/e/k", {"name": "go", "id": "e", "ts": ts, "data": {"n": 3}})
        kept = mill.event("e")
        assert kept is not None
        assert kept.data == {"n": 3}
        assert len(mill.runs()) == 2


def test_an_id_of_a_delayed_event_is_remembered_until_a_day_after_its_ts() -> None:
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> int:
        return ctx.event.data["n"]

    with Mill(app) as mill:
        delayed = {"name": "go", "id": "e", "ts": EPOCH + 2 * 86_400_000, "data": {"n": 1}}
        mill.http("POST", "/e/k", delayed)
        mill.advance(hours=25)
        mill.http("POST", "/e/k", {**delayed, "data": {"n": 2}})
        mill.advance(days=1)
        assert [run.output for run in mill.runs()] == [1]
