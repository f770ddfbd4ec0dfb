"""What a run holds is free once it has ended: however it ends, and wherever the process dies on the way there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tidemill import App, Concurrency, Context, RateLimit, Singleton, Timeouts
from tidemill.core.flow.admission import singleton_place
from tidemill.engine.drive.claim import open_run
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.runs.end import cancel
from tidemill.limits import RECHECK
from tidemill.model import Head
from tidemill.ports import Hold, World
from tidemill.testing import Mill
from tidemill_local.testing.machine import FOREVER


class Died(BaseException):
    """The process that wrote ends here."""


class Mortal:
    """Lets so many writes of the stores be made; whoever makes the next dies before it, once."""

    WRITES = ("append", "change", "redue"), ("take", "park", "pass_on", "forget", "first"), ("drop",)

    def __init__(self, world: World, writes: int) -> None:
        self.left = writes
        self.died = False
        for store, names in zip((world.runs, world.flow, world.waits), self.WRITES, strict=True):
            for name in names:
                setattr(store, name, self._counted(getattr(store, name)))

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **named: Any) -> Any:
            if self.left == 0 and not self.died:
                self.died = True
                raise Died
            self.left -= 1
            return write(*args, **named)

        return counted


def held(world: World, head: Head) -> list[str]:
    """Who holds what this run may hold, or stands in line for it."""
    assert head.admission is not None
    places = [*head.admission.places, *([head.admission.singleton] if head.admission.singleton is not None else [])]
    return [
        run_id
        for place in places
        for run_id in (
            *(holder.run_id for holder in world.flow.holders(place.key)),
            *(run_id for run_id, _ in world.flow.in_line(place.key)),
        )
    ]


def app(**options: Any) -> tuple[App, Any]:
    app = App("shop")

    @app.function(on="go", retries=0, **options)
    def work(ctx: Context) -> str:
        ctx.step.run("a", lambda: 1)
        if ctx.event.data.get("fails"):
            raise ValueError("no")
        if ctx.event.data.get("sleeps"):
            ctx.step.sleep("s", "1d")
        return "done"

    return app, work


LIMITS: dict[str, dict[str, Any]] = {
    "steps": {"concurrency": Concurrency(1)},
    "runs": {"concurrency": Concurrency(1, counts="runs")},
    "two": {"concurrency": [Concurrency(1, key="event.data.user"), Concurrency(1, counts="runs")]},
    "singleton": {"singleton": Singleton("skip")},
    "all": {
        "concurrency": Concurrency(1, counts="runs"),
        "singleton": Singleton("cancel"),
        "rate_limit": RateLimit(9, "1h"),
    },
}
ENDS: dict[str, dict[str, Any]] = {"completes": {}, "fails": {"fails": True}, "is cancelled": {"sleeps": True}}


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_has_ended_holds_nothing_wherever_its_process_died(limits: str, end: str) -> None:
    """The process dies before its first write, its second, and so on, until there are no more."""
    for writes in range(60):
        shop, _ = app(**LIMITS[limits], timeouts=Timeouts(finish="2h"))
        with Mill(shop) as mill:
            world = mill._machine.world
            mortal = Mortal(world, writes)
            for act in (lambda mill=mill: mill.send("go", ENDS[end], id="e"), lambda mill=mill: mill.advance("5h")):
                try:
                    act()
                except Died:
                    act()  # whoever sent it sends it again; and time passes for another process
            run = mill.run()
            head = world.runs.head(run.id)
            assert head is not None
            assert head.due is None, f"it is not closed, after {writes} writes"
            assert held(world, head) == [], f"after {writes} writes"
            if not mortal.died:
                assert run.status == {"completes": "completed", "fails": "failed"}.get(end, "cancelled")
                return
    raise AssertionError("the run writes ever more")


def test_a_run_that_ends_as_it_steps_into_line_leaves_it() -> None:
    """Another delivery of its message was faster: the end passed by before the run stood there."""
    shop, work = app(concurrency=Concurrency(1, counts="runs"))
    with Mill(shop) as mill:
        world = mill._machine.world
        first = mill.send("go", {"sleeps": True}).run()
        park = world.flow.park

        def late(*asked: Any) -> Any:
            world.flow.park = park  # type: ignore[method-assign]
            assert cancel(world, asked[1].run_id, "by another delivery")
            return park(*asked)

        world.flow.park = late  # type: ignore[method-assign]
        second = mill.send("go").run()
        assert second.status == "cancelled"
        head = world.runs.head(second.id)
        assert head is not None
        assert held(world, head) == [first.id]
        mill.advance("1d")
        assert mill.send("go").run().status == "completed"
        assert mill.runs(work, status="waiting") == []


def test_a_run_cancelled_as_it_becomes_the_only_one_lets_the_next_begin() -> None:
    """The place of a singleton is taken before the decision is written: nobody else knows of it."""
    shop, _ = app(singleton=Singleton("skip"))
    with Mill(shop) as mill:
        world = mill._machine.world
        take = world.flow.take

        def then_cancelled(*asked: Any, **known: bool) -> bool:
            world.flow.take = take  # type: ignore[method-assign]
            taken = take(*asked, **known)
            assert cancel(world, asked[1].run_id, "at that very moment")
            return taken

        world.flow.take = then_cancelled  # type: ignore[method-assign]
        assert mill.send("go").run().status == "cancelled"
        assert world.flow.holders(_singleton(world)) == []
        assert mill.send("go").run().status == "completed"


def test_a_run_that_is_skipped_gives_back_the_place_that_it_had_taken() -> None:
    """It was the only one of its singleton, and over the rate limit."""
    shop, _ = app(singleton=Singleton("skip"), rate_limit=RateLimit(1, "1h"))
    with Mill(shop) as mill:
        assert [mill.send("go").run().status for _ in range(2)] == ["completed", "skipped"]
        assert mill._machine.world.flow.holders(_singleton(mill._machine.world)) == []


def _singleton(world: World) -> str:

    spec = world.registry.function("shop.work")
    assert spec is not None
    place = singleton_place(spec, None)
    assert place is not None
    return place.key


def test_a_place_given_to_a_run_that_is_closed_goes_to_the_next() -> None:
    """It was passed on at the very moment of the end; the message that says so finds the run closed."""
    shop, work = app(concurrency=Concurrency(1, counts="runs"))
    with Mill(shop) as mill:
        world = mill._machine.world
        run = mill.send("go").run()
        head = world.runs.head(run.id)
        assert head is not None
        assert head.due is None
        assert head.admission is not None
        (place,) = head.admission.places
        assert world.flow.take(place, Hold(run.id, 1, FOREVER), mill._machine.clock.now(), known=False)
        waits = mill.send("go").run(work)
        assert waits.status == "scheduled"
        world.queue.wake(run.id, work.id)
        mill._machine.settle()
        assert waits.status == "completed"


class Alive:
    def __init__(self) -> None:
        self.is_alive = True

    def alive(self, claim: object, now: int) -> bool:
        return self.is_alive


@pytest.mark.parametrize("leaves", [True, False])
def test_code_that_still_runs_keeps_its_place_until_it_is_known_to_be_gone(leaves: bool) -> None:
    """A run cancelled while its code works: its executor says when it is gone, or is found to be dead."""
    shop, work = app(concurrency=Concurrency(1))
    with Mill(shop) as mill:
        world = mill._machine.world
        born = mill.send("go", {"sleeps": True}).run()
        alive = Alive()
        world = replace(world, liveness=alive)
        mill._machine.clock.time += 86_400_000
        opened = open_run(world, born.id, "slow", FOREVER)
        assert opened is not None
        assert cancel(world, born.id, "while its code runs")
        assert held(world, opened.head) == [born.id]
        if leaves:
            StoreKeeper(world).ended(opened.head, {})
        else:
            alive.is_alive = False
            mill._machine.clock.time += RECHECK
            assert open_run(world, born.id, "another", FOREVER) is None
        assert held(world, opened.head) == []
        head = world.runs.head(born.id)
        assert head is not None
        assert head.due is None
        alive.is_alive = False
        assert mill.send("go").run(work).status == "completed"
