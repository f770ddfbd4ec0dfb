"""The fronts: what a function sees of its run, and what its steps hand to the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from tidemill import App, AsyncContext, Context, EventView, NonRetriableError, Wait, values
from tidemill.model import Event
from tidemill.sdk.step import Step
from tidemill.sdk.step_async import AsyncStep

APPROVED = Event(id="e2", name="video/approved", data={"ok": True}, ts=7, received_at=9)


class Recorder:
    """A driver that keeps what it was asked, and answers what it was told to."""

    def __init__(self, answer: Any = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer = answer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            self.asked.append((name, *args))
            return self.answer

        return called


class AsyncRecorder(Recorder):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def called(*args: Any) -> Any:
            self.asked.append((name, *args))
            return self.answer

        return called


def asked(call: Callable[[Step], Any], answer: Any = None) -> tuple[Any, ...]:
    """What one call asks of the driver: the same from both fronts."""
    plain, awaited = Recorder(answer), AsyncRecorder(answer)
    result = call(Step(plain))

    async def main() -> Any:
        step: Any = AsyncStep(awaited)
        return await call(step)

    assert asyncio.run(main()) == result
    assert plain.asked == awaited.asked
    [found] = plain.asked
    return found


def refused(call: Callable[[Any], Any]) -> str:
    """The sentence with which both fronts refuse a call; the driver never hears of it."""

    async def main() -> None:
        await call(AsyncStep(awaited))

    plain, awaited = Recorder(), AsyncRecorder()
    with pytest.raises(NonRetriableError) as sync_error:
        call(Step(plain))
    with pytest.raises(NonRetriableError) as async_error:
        asyncio.run(main())
    assert str(sync_error.value) == str(async_error.value)
    assert plain.asked == awaited.asked == []
    return str(sync_error.value)


def double(number: int) -> int:
    return number * 2


async def fetch(url: str) -> str:
    return url


# --- the context ---------------------------------------------------------------------------------------


class Paid(BaseModel):
    amount: int


def context(*events: Event, data_type: type[BaseModel] | None = None, attempts: list[int] | None = None) -> Any:
    return Context[Any](
        events,
        run_id="r1",
        function_id="shop.pay",
        attempt=lambda: (attempts or [1])[-1],
        step=Step(Recorder()),
        logger=lambda: logging.getLogger("test"),
        data_type=data_type,
        patched=lambda id: id == "new",
    )


def test_what_a_function_sees() -> None:
    attempts = [1]
    event = Event(id="e1", name="a", data={"x": 1}, ts=5, received_at=6, user={"id": "u"}, v="2")
    ctx = context(event, APPROVED, attempts=attempts)
    assert ctx.event == EventView(id="e1", name="a", data={"x": 1}, user={"id": "u"}, ts=5, v="2")
    assert [one.id for one in ctx.events] == ["e1", "e2"]
    assert ctx.event is ctx.events[0]
    assert (ctx.run_id, ctx.function_id, ctx.attempt, ctx.logger.name) == ("r1", "shop.pay", 1, "test")
    assert (ctx.patched("new"), ctx.patched("old")) == (True, False)
    attempts.append(3)
    assert ctx.attempt == 3


def test_both_contexts_can_be_subscripted() -> None:
    assert Context[Paid].__name__ == "Context"
    assert AsyncContext[Paid].__name__ == "AsyncContext"


def test_data_as_the_model() -> None:
    assert context(Event("e1", "a", {"amount": "3"}, 1, 1), data_type=Paid).event.data == Paid(amount=3)


def test_data_that_does_not_fit_the_model() -> None:
    ctx = context(Event("e1", "order/paid", {"amount": "x"}, 1, 1), data_type=Paid)
    with pytest.raises(NonRetriableError, match=r"the event e1 \(order/paid\) does not fit Paid: data\.amount: Input"):
        _ = ctx.event


def test_an_event_can_be_a_result() -> None:
    view = context(APPROVED).event
    assert values.decode(values.encode(view, "result")) == view


# --- what the driver is asked --------------------------------------------------------------------------


def test_run() -> None:
    assert asked(lambda s: s.run("a", double, 1)) == ("run", "a", double, (1,), {}, None, None)
    assert asked(lambda s: s.run("a", dict, id="x", fn=2)) == ("run", "a", dict, (), {"id": "x", "fn": 2}, None, None)
    found = asked(lambda s: s.options(retries=0, timeout="30s").run("a", double, 1))
    assert found == ("run", "a", double, (1,), {}, 0, 30_000)
    assert asked(lambda s: s.run("ä b\u00a0c", len, "x")) == ("run", "ä b\u00a0c", len, ("x",), {}, None, None)


def test_results_come_from_the_driver() -> None:
    assert Step(Recorder(4)).run("a", double, 2) == 4


@pytest.mark.parametrize("value", ["5m", 300, 300.0, timedelta(minutes=5)])
def test_sleep(value: Any) -> None:
    assert asked(lambda s: s.sleep("a", value)) == ("sleep", "a", 300_000)


@pytest.mark.parametrize(
    "when",
    [datetime(2026, 11, 1, 9, tzinfo=UTC), "2026-11-01T09:00:00Z", "2026-11-01T10:00:00+01:00", "2026-11-01 09:00"],
)
def test_sleep_until(when: Any) -> None:
    assert asked(lambda s: s.sleep_until("a", when)) == ("sleep_until", "a", 1_793_523_600_000)


def test_wait_for_event() -> None:
    found = asked(lambda s: s.wait_for_event("a", "b", match="data.x", timeout="3d"), ("", APPROVED))
    assert found == ("wait", "a", (("", "b", "data.x", None),), 259_200_000, True)
    found = asked(lambda s: s.wait_for_event("a", "b", when="async.data.x > event.data.x", lookback=False))
    assert found == ("wait", "a", (("", "b", None, "async.data.x > event.data.x"),), None, False)
    step = Step(Recorder(("", APPROVED)))
    assert step.wait_for_event("a", "b") == EventView("e2", "video/approved", {"ok": True}, None, 7, None)
    assert Step(Recorder()).wait_for_event("a", "b") is None


def test_wait_for_any() -> None:
    waits = {"yes": Wait("b", match="data.x"), "no": Wait("tidemill/function.failed", when="async.data.x")}
    found = asked(lambda s: s.wait_for_any("a", waits, timeout=1), ("no", APPROVED))
    expected = (("yes", "b", "data.x", None), ("no", "tidemill/function.failed", None, "async.data.x"))
    assert found == ("wait", "a", expected, 1_000, True)
    label, event = Step(Recorder(("no", APPROVED))).wait_for_any("a", waits) or ("", None)
    assert label == "no"
    assert event is not None
    assert event.id == "e2"
    assert Step(Recorder()).wait_for_any("a", waits) is None


def test_wait_for_signal() -> None:
    assert asked(lambda s: s.wait_for_signal("a", "go", timeout="1h")) == ("signal", "a", "go", 3_600_000)


def test_invoke() -> None:
    @App("shop").function
    def pay(_: Context) -> int:
        return 1

    assert asked(lambda s: s.invoke("a", pay)) == ("invoke", "a", "shop.pay", None, None)
    assert asked(lambda s: s.invoke("a", "other.b", data={"x": Decimal("1.50")}, timeout=2)) == (
        *("invoke", "a", "other.b", {"x": Decimal("1.50")}),
        2_000,
    )


def test_send_event() -> None:
    when = datetime(2026, 11, 1, tzinfo=UTC)
    assert asked(lambda s: s.send_event("a", {"name": "b", "data": {"at": when}}), ["i"]) == (
        *("send", "a"),
        [{"name": "b", "data": {"at": "2026-11-01T00:00:00+00:00"}}],
    )
    found = asked(
        lambda s: s.send_event("a", [{"name": "b", "user": {"id": "u"}}, {"name": "c", "data": Paid(amount=1)}])
    )
    assert found[2] == [{"name": "b", "user": {"id": "u"}, "data": {}}, {"name": "c", "data": {"amount": 1}}]


def test_parallel() -> None:
    calls = [lambda: 1, lambda: 2]
    step: Any = Step(recorder := Recorder([1, 2]))
    assert step.parallel(*calls) == [1, 2]
    assert recorder.asked == [("parallel", tuple(calls))]
    assert asked(lambda s: s.parallel()) == ("parallel", ())


def test_map() -> None:
    assert asked(lambda s: s.map("a", double, range(3), max_concurrency=2)) == ("map", "a", double, [0, 1, 2], 2)
    assert asked(lambda s: s.map("a", double, [])) == ("map", "a", double, [], None)


def test_async_steps_are_async_functions_own() -> None:
    recorder = AsyncRecorder("x")

    async def main() -> list[str]:
        step = AsyncStep(recorder)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step.run("a", fetch, "x")), group.create_task(step.run("b", str, 1))]
        return [task.result() for task in tasks] + list(await asyncio.gather(step.run("c", fetch, "x")))

    assert asyncio.run(main()) == ["x"] * 3
    assert len(recorder.asked) == 3


@pytest.mark.parametrize("fn", [fetch, partial(fetch, "x"), type("Callable", (), {"__call__": fetch})()])
def test_an_async_step_in_a_sync_function(fn: Any) -> None:
    for call in (
        lambda: Step(Recorder()).run("a", fn),
        lambda: Step(Recorder()).options(retries=1).run("a", fn),
        lambda: Step(Recorder()).map("a", fn, ["x"]),
    ):
        with pytest.raises(NonRetriableError, match=r"step 'a': .* is async, the function around it is not"):
            call()


# --- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda s, i: s.run(i, double, 1),
        lambda s, i: s.sleep(i, 1),
        lambda s, i: s.sleep_until(i, "2026-11-01"),
        lambda s, i: s.wait_for_event(i, "a"),
        lambda s, i: s.wait_for_any(i, {"a": Wait("a")}),
        lambda s, i: s.wait_for_signal(i, "a"),
        lambda s, i: s.invoke(i, "a.b"),
        lambda s, i: s.send_event(i, {"name": "a"}),
        lambda s, i: s.map(i, double, [1]),
    ],
)
@pytest.mark.parametrize(
    ("step_id", "problem"),
    [
        ("", "a step id must not be empty"),
        ("x" * 257, "a step id must have at most 256 characters, not 257"),
        ("a\nb", "a step id must not contain control characters: 'a\\nb'"),
        ("\ud800", "a step id must not contain control characters"),
        (5, "a step id must be text, not int"),
        (double, "a step id must be text, not function"),
    ],
)
def test_step_ids(call: Callable[[Any, Any], Any], step_id: Any, problem: str) -> None:
    assert refused(lambda s: call(s, step_id)).startswith(problem)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda s: s.run("a", 5), "step 'a': give the function itself and its arguments after it, not int"),
        (lambda s: s.options(retries=21).run("a", double, 1), "step.options: retries must be 0 to 20, not 21"),
        (lambda s: s.options(retries=True).run("a", double, 1), "step.options: retries must be 0 to 20, not True"),
        (lambda s: s.options(timeout=0).run("a", double, 1), "step.options: timeout must be longer than 0"),
        (lambda s: s.options(timeout="x").run("a", double, 1), "step.options: timeout: 'x' is not a duration"),
        (lambda s: s.sleep("a", -1), "step 'a': duration: a duration cannot be negative"),
        (lambda s: s.sleep("a", "367d"), "step 'a': duration: '367d' is longer than 366d, the longest there is"),
        (lambda s: s.sleep_until("a", datetime(2026, 1, 1)), "step 'a': when: "),  # noqa: DTZ001 - the point
        (lambda s: s.sleep_until("a", "tomorrow"), "step 'a': when: 'tomorrow' is not a time"),
        (lambda s: s.wait_for_event("a", ""), "step 'a': an event name must not be empty"),
        (lambda s: s.wait_for_event("a", ["b"]), "step 'a': an event name must be text, not list"),
        (lambda s: s.wait_for_event("a", None), "step 'a': an event name must be text, not NoneType"),
        (lambda s: s.wait_for_event("a", "b*"), "step 'a': an awaited event has one exact name, without '*': 'b*'"),
        (lambda s: s.wait_for_event("a", "tidemill/x"), "step 'a': the platform sends no 'tidemill/x'"),
        (lambda s: s.wait_for_event("a", "b", match="data.x", when="true"), "step 'a': give match or when, not both"),
        (lambda s: s.wait_for_event("a", "b", match=["data.x"]), "step 'a': match must be text, not list"),
        (lambda s: s.wait_for_event("a", "b", match="async.data.x"), "step 'a': match 'async.data.x' is not a path"),
        (lambda s: s.wait_for_event("a", "b", when="data.x"), "step 'a': in the expression 'data.x'"),
        (lambda s: s.wait_for_event("a", "b", timeout=0), "step 'a': timeout must be longer than 0"),
        (lambda s: s.wait_for_event("a", "b", timeout="2y"), "step 'a': timeout: '2y' is not a duration"),
        (lambda s: s.wait_for_any("a", {}), "step 'a': give a dict of at least one label and its Wait(...)"),
        (lambda s: s.wait_for_any("a", [Wait("b")]), "step 'a': give a dict of at least one label"),
        (lambda s: s.wait_for_any("a", {"x": "b"}), "step 'a': 'x' must be a Wait(...), not 'b'"),
        (lambda s: s.wait_for_any("a", {"": Wait("b")}), "step 'a': a label must not be empty"),
        (lambda s: s.wait_for_any("a", {"x": Wait("b*")}), "step 'a': an awaited event has one exact name"),
        (lambda s: s.wait_for_signal("a", ""), "step 'a': a signal must not be empty"),
        (lambda s: s.invoke("a", double), "step 'a': invoke takes a declared function or its id"),
        (lambda s: s.invoke("a", ""), "step 'a': invoke takes a declared function or its id"),
        (lambda s: s.send_event("a", {"nam": "b"}), "step 'a': event: an event has no 'nam'"),
        (lambda s: s.send_event("a", []), "step 'a': there is no event to send"),
        (
            lambda s: s.send_event("a", [{"name": "b"}, {"name": "tidemill/x"}]),
            "step 'a': events[1]: only the platform",
        ),
        (lambda s: s.parallel(lambda: 1, 2), "step.parallel: call 2 is int, not a function; write lambda:"),
        (lambda s: s.map("a", double, 5), "step 'a': map takes a list of items, not int"),
        (lambda s: s.map("a", double, range(100_001)), "step 'a': map takes up to 100000 items, not 100001"),
        (lambda s: s.map("a", double, [1], max_concurrency=0), "step 'a': max_concurrency must be a whole number"),
    ],
)
def test_arguments(call: Callable[[Any], Any], problem: str) -> None:
    assert refused(call).startswith(problem)
