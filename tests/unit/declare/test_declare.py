"""What is refused when a function is declared, and what the platform gets to know of one that is not."""

from __future__ import annotations

import ast
import inspect
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from tidemill import (
    App,
    AsyncContext,
    Backoff,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Cron,
    Debounce,
    DeclarationError,
    Event,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from tidemill.declare import functions as declare
from tidemill.model import Backoff as BackoffSpec
from tidemill.model import CancelSpec, CronTrigger, EventTrigger, FunctionSpec, TimeoutSpec


class SignedUp(BaseModel):
    event_name: ClassVar[str] = "user/signed.up"
    user_id: str


class Paid(BaseModel):
    amount: int


def spec(**options: Any) -> FunctionSpec:
    def a_function(ctx: Any) -> None: ...

    declares: Any = App("shop").function
    found: FunctionSpec = declares(**options)(a_function).spec
    return found


def problems(fn: Any = None, **options: Any) -> list[str]:
    def a_function(ctx: Any) -> None: ...

    declares: Any = App("shop").function
    with pytest.raises(DeclarationError) as raised:
        declares(**options)(a_function if fn is None else fn)
    assert len(set(raised.value.problems)) == len(raised.value.problems)
    return list(raised.value.problems)


# --- what is declared ----------------------------------------------------------------------------------


def test_the_defaults() -> None:
    assert spec() == FunctionSpec(id="shop.a-function", app="shop", name="a_function")


def test_everything_at_once() -> None:
    assert spec(
        on=["a", Event("b/*", when="event.data.x > 1"), Cron("0 9 * * MON", timezone="Europe/Paris", jitter="30s")],
        id="other",
        name="Other",
        retries=0,
        backoff=Backoff("5s", 3, timedelta(minutes=10)),
        concurrency=[Concurrency(1, key="event.data.user_id"), Concurrency(9, scope="app", counts="runs")],
        throttle=Throttle(10, "1m", burst=2),
        rate_limit=RateLimit(10, 60, key="event.user.id"),
        debounce=Debounce("5m", timeout="1h"),
        priority="event.data.plan == 'pro' ? 120 : 0",
        singleton=Singleton("skip"),
        idempotency="event.data.order_id",
        cancel_on=[CancelOn("c", match="data.id", timeout="1d"), CancelOn("d", when="async.data.id == event.data.id")],
        timeouts=Timeouts(start="1h"),
        versions="latest",
    ) == FunctionSpec(
        id="shop.other",
        app="shop",
        name="Other",
        triggers=(
            EventTrigger("a"),
            EventTrigger("b/*", "event.data.x > 1"),
            CronTrigger("0 9 * * MON", "Europe/Paris", 30_000),
        ),
        retries=0,
        backoff=BackoffSpec(5_000, 3.0, 600_000),
        cancel_on=(
            CancelSpec("c", match="data.id", timeout=86_400_000),
            CancelSpec("d", when="async.data.id == event.data.id"),
        ),
        timeouts=TimeoutSpec(start=3_600_000),
        flow={
            "concurrency": [
                {"limit": 1, "scope": "function", "counts": "steps", "key": "event.data.user_id"},
                {"limit": 9, "scope": "app", "counts": "runs"},
            ],
            "throttle": {"limit": 10, "period": 60_000, "burst": 2},
            "rate_limit": {"limit": 10, "period": 60_000, "key": "event.user.id"},
            "debounce": {"period": 300_000, "timeout": 3_600_000},
            "priority": "event.data.plan == 'pro' ? 120 : 0",
            "singleton": {"mode": "skip"},
            "idempotency": "event.data.order_id",
        },
        versions="latest",
    )


def test_one_of_what_may_be_several() -> None:
    found = spec(on="a", concurrency=Concurrency(2), cancel_on=CancelOn("b", match="data.id"), batch=None)
    assert found.flow == {"concurrency": [{"limit": 2, "scope": "function", "counts": "steps"}]}
    assert found.cancel_on == (CancelSpec("b", "data.id"),)
    assert spec(on="a", batch=Batch(100, "5s", key="event.data.x")).flow == {
        "batch": {"max_size": 100, "timeout": 5_000, "key": "event.data.x"}
    }


def test_a_first_delay_above_the_cap_lifts_it() -> None:
    assert spec(backoff="5s").backoff == BackoffSpec(5_000, 2.0, 3_600_000)
    assert spec(backoff="2h").backoff == BackoffSpec(7_200_000, 2.0, 7_200_000)
    assert spec(backoff=0).backoff.first == 0


@pytest.mark.parametrize("name", ["tidemill/function.failed", "tidemill/scheduled.timer", "tidemill/*", "*", "a b"])
def test_names_that_may_be_listened_to(name: str) -> None:
    assert spec(on=name).triggers == (EventTrigger(name),)


@pytest.mark.parametrize(
    ("on", "name", "model"),
    [
        (Event(SignedUp), "user/signed.up", SignedUp),
        (Event(SignedUp, name="other"), "other", SignedUp),
        (Event("order/paid", Paid), "order/paid", Paid),
        (Event("order/paid"), "order/paid", None),
        ([Event("a", Paid), Event(Paid, name="b")], "a", Paid),
    ],
)
def test_models(on: Any, name: str, model: type[BaseModel] | None) -> None:
    def reads(ctx: Any) -> None: ...

    found = App("shop").function(on=on)(reads)
    assert found.spec.triggers[0] == EventTrigger(name)
    assert found.data_type is model


# --- what is refused -----------------------------------------------------------------------------------


def test_every_problem_is_named_at_once() -> None:
    def far_too(ctx: Any, much: int) -> None:
        ctx.step.run("", print)

    found = problems(
        far_too,
        on=["a*b", Cron("0 9 * *", timezone="Mars/Base", jitter=-1), "tidemill/other"],
        retries=21,
        concurrency=Concurrency(0, key="evnt.x"),
        timeouts=Timeouts(finish=0),
        versions="newest",
        retry=1,
    )
    places = [one.partition(":")[0] for one in found]
    assert places == [
        *("retry", "the function", f"step.run in line {far_too.__code__.co_firstlineno + 1}"),
        *("on[0]", "on[1].jitter", "on[1]", "on[1].timezone", "on[2]", "retries", "timeouts.finish"),
        *("concurrency.limit", "concurrency.key", "versions"),
    ]


def test_the_error_names_the_function_and_its_place() -> None:
    with pytest.raises(DeclarationError, match=r"^function 'f' \(.*test_declare\.py:\d+\): retries: must be a whole"):

        @App("shop").function(retries=-1)
        def f(_: Context) -> None: ...


@pytest.mark.parametrize(
    ("on", "problem"),
    [
        ("", "on: an event name must not be empty"),
        ("x" * 257, "on: an event name must have at most 256 characters"),
        ("a\nb", "on: an event name must not contain control characters"),
        (1, "on: must be an event's name, Event(...) or Cron(...), not 1"),
        (SignedUp, "on: must be an event's name, Event(...) or Cron(...), not SignedUp"),
        ([], "on: the list is empty"),
        ([f"e{n}" for n in range(11)], "on: a function has at most 10 triggers, not 11"),
        (["a", "b", "a"], "on[2]: is the same trigger as on[0]"),
        (Event("a", when="event.data."), "on.when: the expression 'event.data.' is not CEL"),
        (Event("a", when="async.data.x"), "on.when: in the expression 'async.data.x'"),
        (Event(Paid), "on: the model Paid names no event; give its class `event_name"),
        ([Event(SignedUp), Event("order/paid", Paid)], "on: all triggers must give the same type of data"),
        ([Event(SignedUp), "other"], "on: all triggers must give the same type of data"),
        (Cron("0 0 30 2 *"), "on: the cron expression '0 0 30 2 *' is wrong: Bad day-of-month"),
        (Cron("0 9 * * * *"), "on: a cron expression has five fields"),
        (Cron("@nightly"), "on: a schedule by name is one of @hourly, @daily,"),
        (Cron("0 9 * * *", timezone=""), "on.timezone: there is no time zone ''"),
        (Cron("0 9 * * *", timezone="../etc/passwd"), "on.timezone: there is no time zone '../etc/passwd'"),
        (Cron("0 9 * * *", jitter="2d"), "on.jitter: must be at most 1d, not '2d'"),
    ],
)
def test_triggers_that_make_no_sense(on: Any, problem: str) -> None:
    [found] = problems(on=on)
    assert found.startswith(problem)


def test_one_name_too_many() -> None:
    event: Any = Event
    with pytest.raises(TypeError, match="an event has one name"):
        event("a", Paid, name="b")


def test_a_model_that_is_none() -> None:
    not_a_model: Any = int
    assert problems(on=Event(not_a_model)) == ["on: <class 'int'> is not a Pydantic model"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retries": True}, "retries: must be a whole number from 0 to 20, not True"),
        ({"retries": "4"}, "retries: must be a whole number from 0 to 20, not '4'"),
        ({"id": "a b"}, "id: a function id may hold letters, digits, hyphens and underscores"),
        ({"id": "shop.a"}, "id: a function id may hold"),
        ({"id": ""}, "id: a function id must not be empty"),
        ({"id": "x" * 129}, "id: a function id must have at most 128 characters"),
        ({"id": 3}, "id: a function id must be text, not int"),
        ({"name": ""}, "name: a name must not be empty"),
        ({"backoff": "soon"}, "backoff: 'soon' is not a duration"),
        ({"backoff": Backoff("1h", 2, "1m")}, "backoff: cap '1m' is shorter than the first delay, '1h'"),
        ({"backoff": Backoff(factor=0.5)}, "backoff.factor: must be a number from 1, not 0.5"),
        ({"concurrency": 5}, "concurrency: must be Concurrency(...) or a list of two, not 5"),
        ({"concurrency": [Concurrency(1)] * 2}, "concurrency: two limits count the same thing"),
        ({"concurrency": Concurrency(1, scope="world")}, "concurrency.scope: must be 'function' or 'app' or 'account'"),  # type: ignore[arg-type] # the point
        ({"throttle": Throttle(1, 0)}, "throttle.period: must be longer than 0, not 0"),
        ({"throttle": Throttle(1, 1, burst=0)}, "throttle.burst: must be a whole number from 1, not 0"),
        ({"rate_limit": RateLimit(0, 1)}, "rate_limit.limit: must be a whole number from 1, not 0"),
        ({"debounce": Debounce("5m", timeout="1m")}, "debounce: timeout '1m' ends before one period of '5m'"),
        ({"batch": Batch(101, "5s")}, "batch.max_size: must be a whole number from 1 to 100, not 101"),
        ({"priority": 5}, "priority: must be CEL as text, not 5"),
        ({"priority": "event."}, "priority: the expression 'event.' is not CEL"),
        ({"singleton": Singleton("keep")}, "singleton.mode: must be 'skip' or 'cancel', not 'keep'"),  # type: ignore[arg-type] # the point
        ({"idempotency": "data.id"}, "idempotency: in the expression 'data.id'"),
        ({"cancel_on": "b"}, "cancel_on: must be CancelOn(...), not 'b'"),
        ({"cancel_on": CancelOn("b")}, "cancel_on: would cancel every run of the function; give match= or when="),
        ({"cancel_on": CancelOn("b*")}, "cancel_on: an awaited event has one exact name"),
        ({"cancel_on": CancelOn("b", match="x", when="y")}, "cancel_on: give match or when, not both"),
        ({"cancel_on": CancelOn("b", match="data.x == 1")}, "cancel_on: match 'data.x == 1' is not a path"),
        ({"cancel_on": CancelOn("b", when="async.data.")}, "cancel_on: the expression 'async.data.' is not CEL"),
        ({"cancel_on": CancelOn("b", match="data.id", timeout=0)}, "cancel_on.timeout: must be longer than 0, not 0"),
        (
            {"cancel_on": [CancelOn(f"e{n}", match="data.id") for n in range(6)]},
            "cancel_on: takes at most 5 events, not 6",
        ),
        ({"timeouts": "1h"}, "timeouts: must be Timeouts(...), not '1h'"),
        ({"timeouts": Timeouts()}, "timeouts: says nothing"),
        ({"versions": "newest"}, "versions: must be 'pinned' or 'latest', not 'newest'"),
        ({"on_failure": "note"}, "on_failure: must be a function (def or async def), not 'note'"),
        ({"retry": 1}, "retry: there is no such option; there are on, backoff,"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], problem: str) -> None:
    [found] = problems(on="a", **options)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "other",
    [
        {"debounce": Debounce("5m")},
        {"rate_limit": RateLimit(1, "1m")},
        {"singleton": Singleton("cancel")},
        {"idempotency": "event.data.x"},
        {"priority": "10"},
        {"cancel_on": [CancelOn("b", match="data.id")]},
    ],
)
def test_what_a_batch_cannot_be_combined_with(other: dict[str, Any]) -> None:
    [found] = problems(on="a", batch=Batch(10, "5s"), **other)
    assert found.startswith(f"batch: cannot be combined with {next(iter(other))}: ")


@pytest.mark.parametrize("gathers", [{"batch": Batch(10, "5s")}, {"debounce": Debounce("5s")}])
@pytest.mark.parametrize("on", [None, Cron("0 9 * * *")])
def test_events_are_gathered_only_where_events_start_the_function(gathers: dict[str, Any], on: Any) -> None:
    [found] = problems(on=on, **gathers)
    assert found.endswith("collects events, and no event starts this function; name one in on=")


# --- the function itself -------------------------------------------------------------------------------


def test_functions_that_make_no_sense() -> None:
    def none() -> None: ...
    def two(_a: Any, _b: Any) -> None: ...
    def named(_: Any, *, other: int) -> None: ...
    def yields(_: Any) -> Any:
        yield 1

    assert problems(none) == ["the function: none must take one argument, the context: none(ctx)"]
    assert problems(two) == ["the function: two must take one argument, the context: two(ctx)"]
    assert problems(named) == ["the function: named must take one argument, the context: named(ctx)"]
    assert problems(yields) == ["the function: yields yields; return its result instead"]
    assert problems(print)[0].startswith("the function: must be a function (def or async def), not <built-in")
    [found] = problems(lambda _: None)
    assert found.startswith("id: a function id may hold") and found.endswith("give one with id=")  # noqa: PT018


def test_functions_that_do() -> None:
    def default(_: Any, _limit: int = 3) -> None: ...
    def anything(*_: Any, **_kw: Any) -> None: ...

    app: Any = App("shop")
    assert app.function(default).id == "shop.default"
    assert app.function(anything).id == "shop.anything"
    assert app.function(id="lambda")(lambda _: None).id == "shop.lambda"


def test_the_wrong_context() -> None:
    async def awaits(ctx: Context[SignedUp]) -> None: ...
    def plain(ctx: AsyncContext) -> None: ...

    assert problems(awaits) == ["the function: awaits is async: its context is AsyncContext, not Context"]
    assert problems(plain) == ["the function: plain is not async: its context is Context, not AsyncContext"]
    awaits.__annotations__["ctx"] = Context[SignedUp]
    plain.__annotations__["ctx"] = AsyncContext
    assert len(problems(awaits)) == len(problems(plain)) == 1


def test_step_ids_that_no_step_can_have() -> None:
    def steps(ctx: Any) -> None:
        """Line
        breaks are no problem here."""
        ctx.step.run("fine", print, "", "a\nb")
        ctx.step.run("", print)
        ctx.step.parallel(lambda: ctx.step.sleep("a\tb", 1), lambda: ctx.step.map("x" * 300, print, []))
        ctx.other.run("", print)
        ctx.step.wait_for_event("\x00", "a")

    async def awaits(ctx: Any) -> None:
        await ctx.step.send_event("\x7f", {"name": "a"})

    line = steps.__code__.co_firstlineno
    assert problems(steps) == [
        f"step.run in line {line + 4}: a step id must not be empty",
        f"step.wait_for_event in line {line + 7}: a step id must not contain control characters: '\\x00'",
        f"step.sleep in line {line + 5}: a step id must not contain control characters: 'a\\tb'",
        f"step.map in line {line + 5}: a step id must have at most 256 characters, not 300: '{'x' * 40}'…",
    ]
    assert problems(awaits)[0].startswith("step.send_event in line")


def test_a_step_id_that_only_begins_with_a_text_is_left_to_the_run() -> None:
    def steps(ctx: Any) -> None:
        name = ctx.event.name
        ctx.step.run("".join(name), print)
        ctx.step.run("" + name, print)
        ctx.step.run(("") + name, print, "")
        ctx.step.run(name + "\n", print)
        ctx.step.run("" or name, print)
        ctx.step.run("\n"[0:0] + name, print)
        ctx.step.run(f"\n{name}".strip(), print)

    assert App("shop").function(steps).id == "shop.steps"


def test_on_failure_is_checked_as_a_function() -> None:
    def handler() -> None: ...

    assert problems(on_failure=handler) == ["on_failure: handler must take one argument, the context: handler(ctx)"]
    declared = App("other").function(lambda_named := _takes_context)
    assert lambda_named is declared.fn
    assert problems(on_failure=declared) == [
        "on_failure: <Function other.takes-context> is declared already; give a plain function"
    ]
    assert problems(id="x" * 121, on_failure=_takes_context)[0].startswith("id: the id of its on_failure must have")


def _takes_context(_: Context) -> None: ...


@pytest.mark.parametrize(
    ("name", "fields"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *")],
)
def test_a_schedule_by_name_stands_for_fields(name: str, fields: str) -> None:
    assert spec(on=Cron(name)) == spec(on=Cron(fields))


def test_every_option_says_what_it_is() -> None:
    """An editor shows the text beneath a key of a TypedDict."""
    [options] = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(declare)))
        if isinstance(node, ast.ClassDef) and node.name == "FunctionOptions"
    ]
    said = [isinstance(node, ast.Expr) for node in options.body[1:]]
    assert said == [False, True] * len(declare.FunctionOptions.__annotations__)
