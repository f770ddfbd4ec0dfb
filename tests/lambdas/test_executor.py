"""What one message of a function's queue does, over stores in memory: each test reads what is stored afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.doubles import NOW, Clock, Entropy, Queue

from tidemill import App, Context, Cron, Timeouts
from tidemill.aws.function.executor import Executor, Refused, Turn, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.liveness import GRACE, UntilThen
from tidemill.aws.settings import queue_name
from tidemill.core.journal import Claimed, Ended, HandedOver, Started, StepDone, Suspended
from tidemill.engine.drive.host import ExecutorGone
from tidemill.engine.intake.receive import DirectBus
from tidemill.errors import Unavailable
from tidemill.ports import RunQuery, World
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.store.database import MEMORY, Database

TIMEOUT = 60_000


class Died(ExecutorGone):
    """The process is gone: nothing in it catches this."""


@dataclass
class Lambda:
    """A user's Lambda, invoked by hand."""

    app: App
    db: Database
    clock: Clock = field(default_factory=Clock)
    queue: Queue = field(default_factory=Queue)
    dead: list[tuple[str, str, dict[str, str]]] = field(default_factory=list[tuple[str, str, dict[str, str]]])
    lines: list[str] = field(default_factory=list[str])
    back: list[tuple[str, str, str, int]] = field(default_factory=list[tuple[str, str, str, int]])
    count: int = 0

    def __post_init__(self) -> None:
        registry = LocalRegistry()
        registry.replace([function.spec for function in self.app.functions.values()], "1")
        bus = DirectBus()
        stores = (self.db.runs, self.db.events, self.db.waits, self.db.blobs)
        self.world = World(*stores, self.queue, bus, registry, self.clock, Entropy(), UntilThen(), self.db.flow)
        bus.world = self.world
        self.metrics = Metrics("test", self.lines.append, self.clock.now)
        self.executor = Executor(
            self.world,
            self.app.functions,
            deployment="test",
            version="7",
            dead=lambda *told: self.dead.append(told),
            metrics=self.metrics,
            sleep=self.clock.sleep,
            hand_back=lambda *told: self.back.append(told),
        )

    def work(self, function_id: str, body: Any, timeout: int = TIMEOUT) -> Turn:
        self.count += 1
        this = turn(f"r{self.count}", self.clock.now(), timeout)
        text = body if isinstance(body, str) else json.dumps(body)
        try:
            self.executor.work(queue_name("test", function_id), text, self.clock.now() - 30, this)
        finally:
            self.metrics.flush()
        return this

    def event(self, name: str, data: dict[str, Any] | None = None, id: str = "e1", ts: int | None = None) -> Any:
        now = self.clock.now()
        detail = {"id": id, "name": name, "data": data or {}, "ts": ts or now, "received_at": now}
        return {"version": "0", "id": "x", "detail-type": name, "source": "tidemill", "detail": detail}

    def run(self, event_id: str = "e1") -> Any:
        (head,) = self.world.runs.of_event(event_id)
        return head

    def records(self, event_id: str = "e1") -> list[Any]:
        return self.world.runs.read(self.run(event_id).run_id)

    def told(self) -> dict[str, Any]:
        """All metrics, the last value of each."""
        found: dict[str, Any] = {}
        for line in self.lines:
            fields = json.loads(line)
            found.update({m["Name"]: fields[m["Name"]] for m in fields["_aws"]["CloudWatchMetrics"][0]["Metrics"]})
        return found


@pytest.fixture
def db() -> Iterator[Database]:
    with Database(MEMORY) as database:
        yield database


app = App("shop")
state: dict[str, Any] = {}


@app.function(on="order/placed")
def pack(ctx: Context) -> str:
    weight = ctx.step.run("weigh", lambda: 3)
    label = ctx.step.run("label", lambda: f"{weight} kg")
    return f"{label} of {ctx.event.data['item']}"


@app.function(on="order/shaky", retries=2)
def shaky(ctx: Context) -> str:
    return ctx.step.run("try", lambda: state["try"]())


@app.function(on="order/slow")
def slow(ctx: Context) -> list[int]:
    return [ctx.step.run(f"part {n}", lambda: state["part"]()) for n in range(3)]


@app.function(on="order/idle")
def idle(ctx: Context) -> str:
    ctx.step.sleep("nap", state["nap"])
    return "awake"


@app.function(on=[Cron("0 9 * * *", timezone="Europe/Paris")])
def tidy(ctx: Context) -> int:
    return ctx.event.ts


@app.function(on="order/fatal", retries=1)
def fatal(ctx: Context) -> None:
    state["between"]()


@pytest.fixture
def fn(db: Database) -> Lambda:
    return Lambda(app, db)


def dies() -> None:
    raise Died


def fails() -> None:
    raise ValueError("no")


def test_a_start_runs_to_its_end_in_one_invocation(fn: Lambda) -> None:
    this = fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}))
    head = fn.run()
    assert (head.status, head.version, head.due) == ("completed", "7", None)
    assert [type(record) for record in fn.records()] == [Started, Claimed, StepDone, StepDone, Ended]
    assert fn.records()[1] == Claimed(NOW, this.by, NOW + TIMEOUT + GRACE, "7")
    assert fn.queue.looks == []
    told = fn.told()
    assert (told["RunsStarted"], told["RunsCompleted"], told["QueueAge"], told["StepDuration"]) == (1, 1, 30, [0, 0])


def test_a_store_that_fails_in_the_middle_costs_seconds_and_no_attempt(fn: Lambda) -> None:
    runs = fn.executor._runs._runs
    append = runs.append

    def fails_at_label(run_id: str, seq: int, records: Any, change: Any = None) -> Any:
        if any(isinstance(record, StepDone) and record.key == "label" for record in records):
            raise Unavailable("dynamodb PutItem failed 8 times")
        return append(run_id, seq, records, change)

    runs.append = fails_at_label  # type: ignore[method-assign]
    this = fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}))
    assert fn.back == [(fn.run().run_id, "shop.pack", this.by, 6)]
    del runs.append  # type: ignore[attr-defined]
    fn.clock.sleep(6_000)
    look = {"look": fn.run().run_id, "gave_up": this.by}
    fn.work("shop.pack", look)
    assert fn.run().status == "completed"
    kinds = [type(record) for record in fn.records()]
    assert kinds == [Started, Claimed, StepDone, HandedOver, Claimed, StepDone, Ended]
    assert [record.attempts for record in fn.records() if isinstance(record, StepDone)] == [1, 1]
    before = fn.records()
    fn.work("shop.pack", look)  # it is doubled
    assert fn.records() == before


def test_who_gave_up_a_claim_says_nothing_of_another(fn: Lambda) -> None:
    state["try"] = dies
    with pytest.raises(Died):
        fn.work("shop.shaky", fn.event("order/shaky"))
    before = fn.records()
    fn.work("shop.shaky", {"look": fn.run().run_id, "gave_up": "somebody else"})
    assert fn.records() == before


def test_where_nothing_can_be_sent_either_the_message_comes_again(fn: Lambda) -> None:
    def down(*_: Any) -> None:
        raise Unavailable("sqs SendMessage failed 8 times")

    state["part"] = lambda: 1
    fn.executor._hand_back = down
    runs = fn.executor._runs._runs
    append = runs.append
    runs.append = down  # type: ignore[method-assign]
    try:
        with pytest.raises(Unavailable):
            fn.work("shop.slow", fn.event("order/slow"))
    finally:
        runs.append = append  # type: ignore[method-assign]


def test_a_start_that_comes_twice_changes_nothing(fn: Lambda) -> None:
    fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}))
    before = fn.records()
    fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}))
    assert fn.records() == before
    assert fn.queue.looks == []


def test_an_event_that_no_trigger_takes_starts_nothing(fn: Lambda) -> None:
    fn.work("shop.pack", fn.event("order/lost"))
    assert fn.world.runs.of_event("e1") == []


def test_an_event_of_the_future_is_looked_at_then(fn: Lambda) -> None:
    fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}, ts=NOW + 60_000))
    head = fn.run()
    assert (head.status, fn.queue.looks) == ("scheduled", [(head.run_id, "shop.pack", NOW + 60_000)])


def test_a_look_far_ahead_is_sent_on_and_one_close_by_is_waited_for(fn: Lambda) -> None:
    fn.work("shop.pack", fn.event("order/placed", {"item": "tea"}, ts=NOW + 60_000))
    run_id = fn.run().run_id
    fn.queue.looks.clear()
    fn.work("shop.pack", {"look": run_id, "at": NOW + 60_000})
    assert fn.queue.looks == [(run_id, "shop.pack", NOW + 60_000)]
    assert fn.run().status == "scheduled"
    fn.clock.ms = NOW + 58_500
    fn.work("shop.pack", {"look": run_id, "at": NOW + 60_000})
    assert fn.run().status == "completed"
    assert fn.clock.ms == NOW + 60_000
    assert "WakeUpLateness" not in fn.told()


def test_a_late_look_says_by_how_much(fn: Lambda) -> None:
    fn.work("shop.pack", {"look": "no such run", "at": NOW - 700})
    assert fn.told()["WakeUpLateness"] == 700


def test_a_retry_a_moment_away_is_waited_for_in_the_process(fn: Lambda) -> None:
    answers = [fails, lambda: "well"]
    state["try"] = lambda: answers.pop(0)()
    fn.work("shop.shaky", fn.event("order/shaky"))
    assert fn.run().status == "completed"
    assert fn.clock.ms == NOW + 500  # half of the first second, by the lot that is drawn here
    assert fn.queue.looks == []


def test_a_sleep_of_a_while_leaves_with_a_message(fn: Lambda) -> None:
    state["nap"] = "5m"
    fn.work("shop.idle", fn.event("order/idle"))
    head = fn.run()
    assert (head.status, fn.queue.looks) == ("sleeping", [(head.run_id, "shop.idle", NOW + 300_000)])
    fn.clock.ms = NOW + 299_400
    fn.work("shop.idle", {"look": head.run_id, "at": NOW + 300_000})
    assert (fn.run().status, fn.clock.ms) == ("completed", NOW + 300_000)


def test_a_short_sleep_is_not_begun_where_the_time_is_nearly_up(fn: Lambda) -> None:
    state["nap"] = "1500ms"
    fn.work("shop.idle", fn.event("order/idle"), timeout=1_000)
    head = fn.run()
    assert fn.queue.looks == [(head.run_id, "shop.idle", NOW + 1_500)]


def test_a_run_moves_on_before_the_time_is_up(fn: Lambda) -> None:
    def part() -> int:
        fn.clock.ms += 30_000
        return 1

    state["part"] = part
    fn.work("shop.slow", fn.event("order/slow"))  # of 60 s, a fifth but at most 10 s is kept for leaving: 2 steps
    head = fn.run()
    assert isinstance(fn.records()[-1], HandedOver)
    assert fn.queue.looks == [(head.run_id, "shop.slow", None)]
    fn.work("shop.slow", {"look": head.run_id})
    assert fn.run().status == "completed"
    assert sum(isinstance(record, StepDone) for record in fn.records()) == 3
    assert fn.run().attempt == 1


def test_a_step_longer_than_the_margin_still_gets_on(fn: Lambda) -> None:
    def part() -> int:
        fn.clock.ms += 950
        return 1

    state["part"] = part
    fn.work("shop.slow", fn.event("order/slow"), timeout=1_000)
    run_id = fn.run().run_id
    for _ in range(2):
        fn.work("shop.slow", {"look": run_id}, timeout=1_000)
    assert fn.run().status == "completed"


def test_a_message_that_meets_a_live_claim_is_sent_again_for_its_end(fn: Lambda) -> None:
    state["try"] = dies
    with pytest.raises(Died):
        fn.work("shop.shaky", fn.event("order/shaky"))
    until = NOW + TIMEOUT + GRACE
    fn.clock.ms += TIMEOUT
    fn.work("shop.shaky", fn.event("order/shaky"))
    assert fn.queue.looks == [(fn.run().run_id, "shop.shaky", until)]
    assert isinstance(fn.records()[-1], Claimed)


def test_a_step_whose_process_dies_goes_on_and_completes(fn: Lambda) -> None:
    answers = [dies, lambda: "well"]
    state["try"] = lambda: answers.pop(0)()
    with pytest.raises(Died):
        fn.work("shop.shaky", fn.event("order/shaky"))
    fn.clock.ms += TIMEOUT + GRACE + 1
    fn.work("shop.shaky", fn.event("order/shaky"))
    assert fn.run().status == "completed"
    assert fn.records()[-2].attempts == 2
    assert fn.dead == []


def test_a_poison_message_fails_its_run_and_is_a_dead_letter(fn: Lambda) -> None:
    state["try"] = dies
    event = fn.event("order/shaky")
    for _ in range(3):
        with pytest.raises(Died):
            fn.work("shop.shaky", event)
        fn.clock.ms += TIMEOUT + GRACE + 1
    fn.work("shop.shaky", event)
    head = fn.run()
    assert head.status == "failed"
    ((function_id, body, about),) = fn.dead
    assert (function_id, json.loads(body), about["run_id"]) == ("shop.shaky", event, head.run_id)
    assert "died" in about["reason"]
    assert fn.told()["DeadLetters"] == 1
    fn.work("shop.shaky", event)
    assert len(fn.dead) == 1


def test_a_process_that_dies_between_steps_is_poison_too(fn: Lambda) -> None:
    state["between"] = dies
    event = fn.event("order/fatal")
    for _ in range(2):
        with pytest.raises(Died):
            fn.work("shop.fatal", event)
        fn.clock.ms += TIMEOUT + GRACE + 1
    fn.work("shop.fatal", event)
    assert fn.run().status == "failed"
    assert [about["reason"] for _, _, about in fn.dead] == ["the process died 2 times without finishing a step"]


def test_a_failing_step_is_no_dead_letter(fn: Lambda) -> None:
    state["try"] = fails
    fn.work("shop.shaky", fn.event("order/shaky"))
    assert fn.run().status == "failed"
    assert (fn.dead, fn.told()["RunsFailed"]) == ([], 1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"detail": {"name": "a"}}',
        '{"cron": {"cron": "* * * * *"}, "at": "soon"}',
        '{"look": 3}',
    ],
)
def test_what_is_no_message_is_a_dead_letter(fn: Lambda, body: str) -> None:
    fn.work("shop.pack", body)
    ((function_id, kept, about),) = fn.dead
    assert (function_id, kept) == ("shop.pack", body)
    assert "none of Tidemill's" in about["reason"]


def test_a_queue_of_no_function_is_refused_in_a_sentence(fn: Lambda) -> None:
    with pytest.raises(Refused, match=r"tidemill-test-shop__gone.*declares no function.*shop\.pack.*deploy"):
        fn.work("shop.gone", fn.event("order/placed"))
    assert fn.dead == []


def test_a_tick_starts_one_run_however_often_it_comes(fn: Lambda) -> None:
    tick = {"cron": {"cron": "0 9 * * *", "timezone": "Europe/Paris"}, "at": "2026-09-21T07:00:00Z"}
    fn.work("shop.tidy", tick)
    fn.work("shop.tidy", tick)
    (head,) = fn.world.runs.page(RunQuery())
    assert head.status == "completed"
    assert fn.world.runs.read(head.run_id)[-1].value == b"1789974000000"


def test_a_tick_of_a_schedule_that_is_gone_does_nothing(fn: Lambda) -> None:
    fn.work("shop.tidy", {"cron": {"cron": "5 9 * * *", "timezone": "UTC"}, "at": "2026-09-21T07:05:00Z"})
    assert (fn.world.runs.page(RunQuery()), fn.dead) == ([], [])


def test_runs_that_sleep_say_so_in_one_record(fn: Lambda) -> None:
    state["nap"] = "40d"
    fn.work("shop.idle", fn.event("order/idle"))
    assert [type(record) for record in fn.records()] == [Started, Claimed, Suspended]


def test_the_margin_is_a_fifth_of_the_timeout_and_at_most_ten_seconds() -> None:
    assert turn("r", 0, 900_000) == Turn("r", 910_000, 890_000)
    assert turn("r", 0, 3_000) == Turn("r", 13_000, 2_400)


def test_a_finish_timeout_counts_while_code_runs(db):
    limited, done = App("shop"), []

    @limited.function(on="go", timeouts=Timeouts(finish="5s"))
    def slow(ctx: Context) -> None:
        for name in "abc":
            ctx.step.run(name, lambda name=name: (fn.clock.sleep(4_000), done.append(name))[1])

    fn = Lambda(limited, db)
    fn.work("shop.slow", fn.event("go"))
    assert (fn.run().status, fn.run().reason) == ("cancelled", "it did not end within its finish timeout")
    assert done == ["a", "b"]
