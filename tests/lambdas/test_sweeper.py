"""What the sweep finds: runs that nobody looked at when they were due, and starts that ended as dead letters."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from tidemill import ids
from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.messages import dead_letters as dead
from tidemill.aws.settings import Settings, dead_letter_name, queue_name
from tidemill.core.journal import Cancelled
from tidemill.engine.intake.start import begin
from tidemill.errors import Unavailable
from tidemill.limits import HOUR, MINUTE
from tidemill.model import Event, FunctionSpec, HeadChange, TimeoutSpec
from tidemill.ports import APPENDED, World
from tidemill_lambdas.sweeper import sweep as sweeping
from tidemill_lambdas.sweeper.adopt import adopt, turn
from tidemill_lambdas.sweeper.sweep import AGAIN, GRACE, sweep
from tidemill_local.testing import moto

FUNCTION = "shop.welcome"


def always() -> bool:
    return True


def event(n: int) -> Event:
    now = 1_790_000_000_000
    return Event(f"e{n}", "user/signed.up", {"n": n}, now, now)


def started(world: World, count: int, **changes: Any) -> list[str]:
    """Runs that nobody has looked at yet; they are due within the hour."""
    spec = msgspec.structs.replace(spec_of(world), **changes)
    found = [begin(world, spec, event(n)).began for n in range(count)]
    looks(world).clear()
    return [run_id for run_id in found if run_id]


def spec_of(world: World) -> FunctionSpec:
    spec = world.registry.function(FUNCTION)
    assert spec is not None
    return spec


def looks(world: World) -> list[tuple[str, str, int | None]]:
    found: list[tuple[str, str, int | None]] = world.queue.looks  # type: ignore[attr-defined]
    return found


def pass_(world: World, ms: int) -> None:
    world.clock.ms += ms  # type: ignore[attr-defined]


def due(world: World, run_id: str) -> int | None:
    head = world.runs.head(run_id)
    assert head is not None
    return head.due


def test_what_is_not_due_yet_is_left_alone(world: World):
    started(world, 3)
    pass_(world, HOUR - 1)
    assert sweep(world, always) == (0, [])


def test_what_has_just_become_due_is_on_its_way(world: World):
    started(world, 1)
    pass_(world, HOUR + GRACE - 1)
    assert sweep(world, always) == (0, [])
    pass_(world, 1)
    assert sweep(world, always) == (1, [])


def test_overdue_runs_are_looked_at_and_given_time(world: World):
    runs = started(world, 3)
    pass_(world, HOUR + MINUTE)
    assert sweep(world, always) == (3, [])
    assert looks(world) == [(run_id, FUNCTION, None) for run_id in runs]
    assert [due(world, run_id) for run_id in runs] == [world.clock.now() + AGAIN] * 3
    pass_(world, MINUTE)
    assert sweep(world, always) == (0, [])
    pass_(world, AGAIN)
    assert sweep(world, always) == (3, [])  # the second message may be lost, too


def test_it_goes_on_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeping, "_PAGE", 4)
    runs = started(world, 11)
    pass_(world, HOUR + MINUTE)
    assert sweep(world, always) == (11, [])
    assert sorted(run_id for run_id, *_ in looks(world)) == sorted(runs)


def test_it_stops_when_its_time_is_up_and_goes_on_in_the_next_minute(world: World):
    runs = started(world, 10)
    pass_(world, HOUR + MINUTE)
    left = iter([True, *[True] * 3, False])
    assert sweep(world, lambda: next(left, False)) == (4, [])
    assert sweep(world, always) == (6, [])
    assert sorted(run_id for run_id, *_ in looks(world)) == sorted(runs)


def test_an_ended_run_is_never_overdue(world: World):
    from tidemill.engine.runs.end import cancel

    (run_id,) = started(world, 1)
    cancel(world, run_id, "enough")
    pass_(world, 10 * HOUR)
    assert sweep(world, always) == (0, [])


def test_a_run_whose_function_is_gone_is_held(world: World):
    (run_id,) = started(world, 1)
    world.registry.replace([], "v2")  # type: ignore[attr-defined]
    pass_(world, HOUR + MINUTE)
    assert sweep(world, always) == (1, [])
    head = world.runs.head(run_id)
    assert head is not None
    assert head.reason == "function shop.welcome is not declared at present"
    assert head.due == world.clock.now() + HOUR
    assert looks(world) == []


def test_a_run_whose_function_is_gone_ends_where_it_has_ended(world: World):
    """Its executor died between the record of the end and what follows from it; nobody else receives its messages."""
    (run_id,) = started(world, 1)
    now = world.clock.now()
    change = HeadChange("cancelled", due=now, reason="enough", ended_at=now, end=1)
    assert world.runs.append(run_id, 1, [Cancelled(now, "enough")], change) == APPENDED
    world.registry.replace([], "v2")  # type: ignore[attr-defined]
    pass_(world, HOUR + MINUTE)
    assert sweep(world, always) == (1, [])
    head = world.runs.head(run_id)
    assert head is not None
    assert (head.status, head.due) == ("cancelled", None)


def test_a_run_whose_function_is_gone_ends_at_its_finish_timeout(world: World):
    (run_id,) = started(world, 1, timeouts=TimeoutSpec(finish=90 * MINUTE))
    world.registry.replace([], "v2")  # type: ignore[attr-defined]
    pass_(world, HOUR + MINUTE)
    assert sweep(world, always) == (1, [])
    head = world.runs.head(run_id)
    assert head is not None
    assert head.due == head.finish_by
    pass_(world, HOUR)
    assert sweep(world, always) == (1, [])
    head = world.runs.head(run_id)
    assert head is not None
    assert (head.status, head.due) == ("cancelled", None)


class Failing:
    """A queue that fails for one run."""

    def __init__(self, queue: Any, run_id: str, error: Exception) -> None:
        self._queue = queue
        self._run_id = run_id
        self._error = error

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        if run_id == self._run_id:
            raise self._error
        self._queue.wake(run_id, function_id, at, loose)


@pytest.mark.parametrize(
    ("error", "again"),
    [(Unavailable("SQS is away"), True), (AwsError("sqs", "SendMessage", "AccessDenied", "no", 403), False)],
)
def test_one_that_fails_does_not_stop_the_others(world: World, error: Exception, again: bool):
    runs = started(world, 3)
    pass_(world, HOUR + MINUTE)
    bad = dataclasses.replace(world, queue=Failing(world.queue, runs[0], error))
    found, problems = sweep(bad, always)
    assert found == 3
    assert problems == [f"run {runs[0]} of {FUNCTION}: {error}"]
    assert [run_id for run_id, *_ in looks(world)] == runs[1:]
    assert sweep(world, always)[0] == (1 if again else 0)


# Dead letters.


class Letters:
    """A function's dead-letter queue."""

    def __init__(self) -> None:
        self.client: Client = moto.client()
        mill = moto.fresh("d")
        name = dead_letter_name(mill, FUNCTION)
        self.url = moto.create_queue(self.client, name)
        self.settings = Settings(mill, "t", "b", "bus", self.url.removesuffix(name), "arn", "group", "role")

    def put(self, *bodies: object) -> None:
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.client.call("sqs", "SendMessage", {"QueueUrl": self.url, "MessageBody": text})

    def adopt(self, world: World) -> int:
        adopted, problems, busy = adopt(world, self.client, self.settings, [spec_of(world)], always)
        assert (problems, busy) == ([], set())
        return adopted

    def count(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.call("sqs", "GetQueueAttributes", {"QueueUrl": self.url, "AttributeNames": names})
        return sum(int(found["Attributes"][name]) for name in names)


@pytest.fixture
def letters() -> Letters:
    return Letters()


def start(n: int, name: str = "user/signed.up") -> dict[str, Any]:
    detail = {"id": f"e{n}", "name": name, "data": {"n": n}, "ts": 1, "received_at": 1_790_000_000_000}
    return {"id": "x", "source": "tidemill", "detail-type": name, "detail": detail}


def test_starts_without_a_run_become_runs_that_are_due(world: World, letters: Letters):
    letters.put(*[start(n) for n in range(25)])
    assert letters.adopt(world) == 25
    assert letters.count() == 0
    runs = [ids.derived(FUNCTION, f"e{n}") for n in range(25)]
    heads = [world.runs.head(run_id) for run_id in runs]
    assert [head.status for head in heads if head] == ["scheduled"] * 25
    assert all(head is not None and head.due is not None for head in heads)
    assert sorted(run_id for run_id, *_ in looks(world)) == sorted(runs)
    assert world.runs.birth(runs[3]).events[0].data == {"n": 3}  # type: ignore[union-attr]


def test_a_start_that_a_bad_deploy_has_buried_becomes_a_run(world: World, letters: Letters):
    queue = queue_name(letters.settings.deployment, FUNCTION)
    dead.bury(letters.client, letters.settings.queues, queue, json.dumps(start(1)), "it cannot be\nimported")
    assert letters.adopt(world) == 1


def test_a_start_whose_run_exists_stays_for_people_to_see(world: World, letters: Letters):
    started(world, 1)
    letters.put(start(0))
    assert letters.adopt(world) == 0
    assert letters.count() == 1
    assert looks(world) == []


@pytest.mark.parametrize("body", ["nonsense", {"look": "R1"}, {"hello": 1}, start(5, "somebody/else")])
def test_everything_else_stays(world: World, letters: Letters, body: object):
    letters.put(body)
    assert letters.adopt(world) == 0
    assert letters.count() == 1


def test_a_tick_becomes_a_run(world: World, letters: Letters):
    pro = world.registry.function("shop.pro")
    assert pro is not None
    cron = {"cron": "0 9 * * *", "timezone": "Europe/Paris"}
    name = dead_letter_name(letters.settings.deployment, "shop.pro")
    letters.url = moto.create_queue(letters.client, name)
    letters.put(
        {"cron": cron, "at": "2026-09-21T07:00:00Z"}, {"cron": {"cron": "1 1 * * *"}, "at": "2026-09-21T07:00:00Z"}
    )
    assert adopt(world, letters.client, letters.settings, [pro], always) == (1, [], set())
    assert letters.count() == 1
    assert [run_id for run_id, function_id, _ in looks(world) if function_id == "shop.pro"] != []


def test_a_queue_that_is_not_there_is_told_and_stops_nobody(world: World, letters: Letters):
    pro = world.registry.function("shop.pro")
    assert pro is not None
    letters.put(start(1))
    adopted, problems, _ = adopt(world, letters.client, letters.settings, [pro, spec_of(world)], always)
    assert adopted == 1
    assert len(problems) == 1
    assert problems[0].startswith("the dead letters of shop.pro: ")


def test_reading_goes_on_as_long_as_there_is_time_and_in_the_next_minute(world: World, letters: Letters):
    letters.put(*[start(n) for n in range(250)])
    looks_left = iter([True] * 12)
    adopted, problems, busy = adopt(
        world, letters.client, letters.settings, [spec_of(world)], lambda: next(looks_left, False)
    )
    assert (adopted, problems, busy) == (120, [], {FUNCTION})
    specs = [FunctionSpec(f"a.f{n}", "a", f"f{n}") for n in range(10)] + [spec_of(world)]
    assert all(spec_of(world) in turn(specs, minute * MINUTE, busy) for minute in range(10))
    assert letters.adopt(world) == 130


def test_letters_that_nobody_can_adopt_keep_no_process_busy(world: World, letters: Letters):
    letters.put(*["nonsense"] * 50)
    looks_left = iter([True] * 2)
    found = adopt(world, letters.client, letters.settings, [spec_of(world)], lambda: next(looks_left, False))
    assert found == (0, [], set())


def test_a_read_waits_for_the_machines_that_answer_later(world: World, letters: Letters):
    asked: list[dict[str, Any]] = []
    call = letters.client.call

    def noted(service: str, operation: str, body: Any, **options: Any) -> Any:
        asked.extend([body] if operation == "ReceiveMessage" else [])
        return call(service, operation, body, **options)

    letters.client.call = noted  # type: ignore[method-assign]
    letters.put(start(1))
    assert letters.adopt(world) == 1
    assert [body["WaitTimeSeconds"] for body in asked] == [1]


def test_every_function_has_its_turn_in_ten_minutes(world: World):
    specs = [FunctionSpec(f"a.f{n}", "a", f"f{n}") for n in range(37)]
    turns = [turn(specs, 1_790_000_000_000 + minute * MINUTE) for minute in range(10)]
    assert sorted(spec.id for each in turns for spec in each) == sorted(spec.id for spec in specs)
    assert max(map(len, turns)) == 4
