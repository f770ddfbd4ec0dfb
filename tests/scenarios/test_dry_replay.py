"""A dry replay tells the first difference between code and journal, and does nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tidemill import App, AsyncContext, Context, StepError
from tidemill.core import snapshot
from tidemill.core.state import fold
from tidemill.engine.drive.dry.journal import Recorded
from tidemill.engine.drive.dry.replay import Outcome, replay
from tidemill.engine.runs.create import chunk_id
from tidemill.testing import Mill

Code = Callable[[Any], Any]
done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


def do(what: str) -> str:
    done.append(what)
    return what


def app_of(code: Code) -> App:
    app = App("shop")
    app.function(on="go", id="work", retries=0)(code)
    return app


def function_of(code: Code) -> Any:
    return app_of(code).functions["shop.work"]


def recorded(mill: Mill, run_id: str) -> Recorded:
    runs = mill._machine.world.runs
    head = runs.head(run_id)
    assert head is not None
    whole = None
    if head.parent is not None and head.parent.chunk is not None:
        whole = recorded(mill, head.parent.run_id)
    return Recorded(run_id, runs.read(run_id), whole=whole)


def journal_of(code: Code, *, advance: str | None = "10h", other: App | None = None) -> Recorded:
    """The journal of one run of this code."""
    with Mill(app_of(code), *([other] if other else [])) as mill:
        run = mill.send("go", {"n": 1}).run("shop.work")
        if advance:
            mill.advance(advance)
        found = recorded(mill, run.id)
    done.clear()
    return found


def check(code: Code, journal: Recorded, seconds: float = 5) -> Outcome:
    """A replay does nothing: no step's body runs, the journal is as it was."""
    before = list(journal.records)
    found = replay(function_of(code), journal, seconds=seconds)
    assert done == []
    assert list(journal.records) == before
    return found


def line_of(code: Code, text: str) -> str:
    import inspect

    lines, first = inspect.getsourcelines(code)
    return f"{__file__}:{first + next(n for n, line in enumerate(lines) if text in line)}"


# Code that is what it was.


def steps(ctx: Context) -> list[str]:
    a = ctx.step.run("a", do, "a")
    ctx.step.sleep("nap", "1h")
    b = ctx.step.run("b", do, "b")
    return [a, b]


async def steps_async(ctx: AsyncContext) -> list[str]:
    a = await ctx.step.run("a", do, "a")
    await ctx.step.sleep("nap", "1h")
    return [a, await ctx.step.run("b", do, "b")]


def everything(ctx: Context) -> Any:
    sent = ctx.step.send_event("send", {"name": "noted"})
    branches = ctx.step.parallel(
        lambda: ctx.step.run("left", do, "left"),
        lambda: ctx.step.sleep("right", "1h"),
        lambda: ctx.step.wait_for_event("event", "never", timeout="2h"),
    )
    mapped = ctx.step.map("map", lambda n: do(f"{n}"), [1, 2, 3])
    first = ctx.step.wait_for_any(
        "any", {"x": __import__("tidemill").Wait("noted"), "y": __import__("tidemill").Wait("y")}
    )
    child = ctx.step.invoke("child", "other.child", {"n": 1})
    try:
        ctx.step.options(retries=0).run("fails", fails)
    except StepError as error:
        failed = str(error)
    large = ctx.step.run("large", lambda: "x" * 400_000)
    ctx.logger.info("said")
    return [
        sent,
        branches,
        mapped,
        first and first[0],
        child,
        failed,
        len(large),
        ctx.step.wait_for_signal("s", "s", timeout="1m"),
    ]


async def races(ctx: AsyncContext) -> str:
    slow = asyncio.ensure_future(ctx.step.wait_for_event("answer", "answered"))
    nap = asyncio.ensure_future(ctx.step.sleep("nap", "1h"))
    await asyncio.wait([slow, nap], return_when=asyncio.FIRST_COMPLETED)
    slow.cancel()
    await ctx.step.run("remind", do, "remind")
    results = await asyncio.gather(*(ctx.step.run(f"part {n}", do, f"{n}") for n in range(5)))
    await ctx.step.sleep("rest", "1h")
    return "".join(results)


def fails() -> None:
    raise ValueError("out of order")


def ends_in_an_error(ctx: Context) -> None:
    ctx.step.run("a", do, "a")
    raise ValueError("no more")


def other_app() -> App:
    other = App("other")

    @other.function()
    def child(ctx: Context) -> str:
        return ctx.step.run("in the child", do, "child")

    return other


@pytest.mark.parametrize("code", [steps, steps_async, everything, races, ends_in_an_error])
def test_the_same_code_shows_no_difference_at_the_end_and_at_each_record_before(code):
    journal = journal_of(code, other=other_app())
    assert check(code, journal).difference is None
    assert check(code, journal).goes_on is None
    for end in range(1, len(journal.records)):
        part = Recorded(journal.run_id, journal.records[:end])
        assert check(code, part).difference is None, part.records[-1]


def test_an_open_run_says_where_it_goes_on():
    found = check(steps, journal_of(steps, advance=None))
    assert found == Outcome(None, ("nap", line_of(steps, '"nap"')), 2)


@pytest.mark.parametrize("code", [steps, steps_async])
def test_a_journal_that_begins_with_a_snapshot(code):
    journal = journal_of(code)
    for base in range(2, len(journal.records)):
        kept = snapshot.encode(fold(journal.records[:base]))
        part = Recorded(journal.run_id, journal.records[base:], base, kept)
        assert check(code, part).difference is None
    difference = check(nothing, part).difference
    assert (difference.kind, difference.step, difference.position) == ("missing", "a", None)


def nothing(ctx: Context) -> list[str]:
    return ["a", "b"]


def test_the_parts_of_a_map_are_led_to_by_the_journal_of_the_whole():
    with Mill(app_of(maps)) as mill:
        run = mill.send("go").run()
        journals = [recorded(mill, chunk_id(run.id, "all", number)) for number in range(3)]
    done.clear()
    assert len(journals) == 3
    for journal in journals:
        assert check(maps, journal).difference is None
        lost = Recorded(journal.run_id, journal.records)
        assert check(maps, lost).difference.kind == "unjudged"


def maps(ctx: Context) -> list[str]:
    word = ctx.step.run("word", do, "w")
    return ctx.step.map("all", lambda n: do(f"{word}{n}"), [1, 2, 3])


# Differences.


def renamed(ctx: Context) -> list[str]:
    a = ctx.step.run("a2", do, "a")
    ctx.step.sleep("nap", "1h")
    return [a, ctx.step.run("b", do, "b")]


async def renamed_async(ctx: AsyncContext) -> list[str]:
    a = await ctx.step.run("a2", do, "a")
    await ctx.step.sleep("nap", "1h")
    return [a, await ctx.step.run("b", do, "b")]


def swapped(ctx: Context) -> list[str]:
    b = ctx.step.run("b", do, "b")
    a = ctx.step.run("a", do, "a")
    ctx.step.sleep("nap", "1h")
    return [a, b]


def other_kind(ctx: Context) -> list[str]:
    a = ctx.step.run("a", do, "a")
    ctx.step.run("nap", do, "nap")
    return [a, ctx.step.run("b", do, "b")]


def shorter(ctx: Context) -> list[str]:
    return [ctx.step.run("a", do, "a"), "b"]


def longer(ctx: Context) -> list[str]:
    found = steps(ctx)
    ctx.step.run("c", do, "c")
    return found


def another_value(ctx: Context) -> list[str]:
    return [*steps(ctx), "c"]


def raises(ctx: Context) -> list[str]:
    ctx.step.run("a", do, "a")
    raise KeyError("sorry")


@pytest.mark.parametrize(
    ("code", "kind", "step", "expected", "found", "line"),
    [
        (renamed, "key", "a", "step 'a' (run)", "goes on with step 'a2'", '"a2"'),
        (renamed_async, "key", "a", "step 'a' (run)", "goes on with step 'a2'", '"a2"'),
        (swapped, "order", "a", "step 'a' before 'b'", "comes to 'b' first", '"a"'),
        (other_kind, "kind", "nap", "step 'nap' as 'sleep'", "has made it 'run'", '"nap"'),
        (shorter, "missing", "nap", "step 'nap' (sleep)", "comes to its end", "def shorter"),
        (longer, "key", None, "the end of the run (completed)", "goes on with step 'c'", '"c"'),
        (another_value, "value", None, "the output ['a', 'b']", "returns ['a', 'b', 'c']", "def another_value"),
        (raises, "raises", None, "the output ['a', 'b']", "raises KeyError: 'sorry'", "raise KeyError"),
    ],
)
def test_the_first_difference(code, kind, step, expected, found, line):
    journal = journal_of(steps)
    difference = check(code, journal).difference
    assert (difference.kind, difference.step) == (kind, step)
    assert (difference.expected, difference.found) == (expected, found)
    assert difference.place == line_of(code, line)
    assert difference.run_id == journal.run_id
    assert difference.function_id == "shop.work"
    record = {"a": 2, "nap": 3, None: 6}[step]
    assert difference.position == record
    assert f"the journal has {expected}" in str(difference)
    assert line_of(code, line) in str(difference)


def paid(ctx: Context) -> None:
    ctx.step.run("pay/a", do, "a")
    ctx.step.run("b", do, "b")


def paid_last(ctx: Context) -> None:
    ctx.step.run("b", do, "b")
    ctx.step.run("pay/a", do, "a")


def test_an_id_with_a_slash_is_no_branch():
    difference = check(paid_last, journal_of(paid)).difference
    assert (difference.kind, difference.step) == ("order", "pay/a")


def waits(ctx: Context) -> Any:
    event = ctx.step.wait_for_event("answer", "answered", timeout="1h")
    return event and event.name


def waits_otherwise(ctx: Context) -> Any:
    event = ctx.step.wait_for_event("answer", "replied", timeout="1h")
    return event and event.name


def test_another_target():
    difference = check(waits_otherwise, journal_of(waits)).difference
    assert (difference.kind, difference.step) == ("target", "answer")
    assert "'answered'" in difference.expected
    assert "'replied'" in difference.found


def test_another_error():
    def says_more(ctx: Context) -> None:
        ctx.step.run("a", do, "a")
        raise ValueError("no more at all")

    difference = check(says_more, journal_of(ends_in_an_error)).difference
    assert (difference.kind, difference.expected) == ("raises", "the error ValueError: no more")


def test_an_error_before_the_steps_of_an_open_run():
    def early(ctx: Context) -> None:
        raise ValueError("early")

    difference = check(early, journal_of(steps, advance=None)).difference
    assert (difference.kind, difference.step) == ("raises", "a")


def test_a_branch_is_judged_though_another_one_stops():
    def before(ctx: Context) -> None:
        ctx.step.parallel(lambda: ctx.step.sleep("nap", "1h"), lambda: ctx.step.run("right", do, "r"))

    def after(ctx: Context) -> None:
        ctx.step.parallel(lambda: ctx.step.sleep("nap", "1h"), lambda: ctx.step.run("wrong", do, "r"))

    difference = check(after, journal_of(before, advance=None)).difference
    assert (difference.kind, difference.step, difference.found) == (
        "key",
        "p0/1/right",
        "goes on with step 'p0/1/wrong'",
    )


def spins(ctx: Context) -> None:
    ctx.step.run("a", do, "a")
    while True:
        pass


async def hangs(ctx: AsyncContext) -> None:
    await ctx.step.run("a", do, "a")
    await asyncio.sleep(3600)


turns: list[int] = []


def swallows(ctx: Context) -> None:
    while True:
        turns.append(1)
        try:
            ctx.step.run("a", do, "a")
            ctx.step.run("new", do, "new")
        except BaseException:
            continue


@pytest.mark.parametrize("code", [spins, hangs, swallows])
def test_code_that_comes_to_no_end_is_stopped(code):
    before = threading.active_count()
    began = time.monotonic()
    difference = check(code, journal_of(steps), seconds=0.3).difference
    assert time.monotonic() - began < 5
    if code is not swallows:
        assert difference.kind == "unjudged"
        assert __file__ in difference.place
    deadline = time.monotonic() + 10
    while threading.active_count() > before and code is not swallows and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before or code is swallows


def test_code_that_swallows_what_is_to_stop_it_rests_at_its_next_step():
    before = set(threading.enumerate())
    check(swallows, journal_of(steps), seconds=0.3)
    (left,) = set(threading.enumerate()) - before
    deadline = time.monotonic() + 60
    while not at_rest(left) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert at_rest(left)
    count = len(turns)
    time.sleep(0.05)
    assert len(turns) == count


def at_rest(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return "_rest" in names


def test_steps_that_are_refused_leave_no_record():
    def work(ctx: Context) -> str:
        try:
            ctx.step.sleep("too long", "400d")
        except Exception:
            ctx.step.run("instead", do, "instead")
        ctx.step.sleep("nap", "1h")
        return "done"

    assert check(work, journal_of(work)).difference is None


def test_a_cancelled_run_and_one_that_never_began():
    with Mill(app_of(steps)) as mill:
        run = mill.send("go").run()
        mill.http("DELETE", f"/v1/runs/{run.id}")
        journal = recorded(mill, run.id)
    done.clear()
    assert check(steps, journal) == Outcome(None, ("nap", line_of(steps, '"nap"')), 2)
    assert check(steps, Recorded(journal.run_id, journal.records[:1])) == Outcome(None, None, 0)


def code_of(count: int, is_async: bool) -> Any:
    def many(ctx: Context) -> int:
        return sum(ctx.step.run(f"step {n}", lambda n=n: n) for n in range(count))

    async def many_async(ctx: AsyncContext) -> int:
        return sum([await ctx.step.run(f"step {n}", lambda n=n: n) for n in range(count)])

    return many_async if is_async else many


@pytest.mark.parametrize("is_async", [False, True])
def test_twice_the_steps_cost_about_twice_the_calls(is_async):
    calls = [_calls(code_of(count, is_async)) for count in (20, 40)]
    assert calls[1] < 2.2 * calls[0]
    assert calls[1] - calls[0] < 20 * 60  # for each step more; 30 in sync code, 42 in async


def _calls(code: Any) -> int:
    """Calls of functions in one replay: what it costs, whatever else the machine does."""
    journal, function = journal_of(code), function_of(code)
    assert replay(function, journal, seconds=None).difference is None  # imports are not counted
    counted = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        replay(function, journal, seconds=None)
    finally:
        sys.setprofile(before)
    return counted
