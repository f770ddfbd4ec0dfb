"""The executor of definitions: steps that end in time, and steps that go on elsewhere until a message tells how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.doubles import NOW, Clock, Entropy, Queue

from tidemill import values
from tidemill.aws import world
from tidemill.aws.calls.client import Client, Credentials, Reply, Request
from tidemill.aws.function import load_app
from tidemill.aws.function.executor import Executor, turn
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.liveness import UntilThen
from tidemill.aws.runtimes import defined
from tidemill.aws.runtimes.context import places
from tidemill.aws.runtimes.ends import Ends
from tidemill.aws.settings import Settings, queue_name, step_mark
from tidemill.core.definition import Definition, Docker, Http, Lambda, StepSpec
from tidemill.core.graph import Edge, Node
from tidemill.core.journal import StepDone
from tidemill.engine.drive.graph import graph_function
from tidemill.engine.intake.receive import DirectBus
from tidemill.model import EventTrigger, FunctionSpec
from tidemill.ports import World
from tidemill.task import Handed, Task
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.store.database import MEMORY, Database

SETTINGS = Settings("test", "t", "bucket", "b", "https://sqs/1/", "arn:timers", "g", "arn:r")
SPEC = FunctionSpec("signup", "definitions", "Signup", (EventTrigger("user/signed.up"),), retries=0)
DEFINITION = Definition(
    SPEC,
    (
        StepSpec(Node("crm"), Lambda(), path="crm", attempts=2),
        StepSpec(Node("sms", (Edge("crm"),)), Docker(), path="sms"),
        StepSpec(Node("hook", (Edge("sms"),)), Http("https://e.com")),
    ),
)


@dataclass
class Deployed:
    """One definition's executor, invoked by hand. `crm`, `sms`, `hook`: what the steps' runtimes do."""

    db: Database
    clock: Clock = field(default_factory=Clock)
    queue: Queue = field(default_factory=Queue)
    dead: list[Any] = field(default_factory=list[Any])
    tasks: list[Task] = field(default_factory=list[Task])
    gives: dict[str, Any] = field(default_factory=dict[str, Any])
    log: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        registry = LocalRegistry()
        registry.replace([SPEC], "1")
        bus = DirectBus()
        stores = (self.db.runs, self.db.events, self.db.waits, self.db.blobs)
        self.world = World(
            *stores, self.queue, bus, registry, self.clock, Entropy(), UntilThen(), self.db.flow
        )  # fmt: skip
        bus.world = self.world
        client = Client(
            region="eu-west-1", credentials=lambda: Credentials("A", "S"), environment={}, transport=self._aws
        )
        where = places(client, SETTINGS, self.db.blobs, self.clock.now)
        self.executor = Executor(
            self.world,
            {SPEC.id: graph_function(DEFINITION, dict.fromkeys(("lambda", "docker", "http"), self._run))},
            deployment="test",
            version="7",
            dead=lambda *told: self.dead.append(told),
            metrics=Metrics("test", lambda _: None, self.clock.now),
            sleep=self.clock.sleep,
            ends=lambda: Ends(where, [DEFINITION], "/tasks"),
        )

    def _run(self, task: Task) -> Any:
        self.tasks.append(task)
        gives = self.gives[task.step.id]
        return gives(task) if callable(gives) else gives

    def _aws(self, request: Request) -> Reply:
        assert request.service == "logs"
        events = [{"message": json.dumps({"source": "stdout", "log": text})} for text in self.log]
        return Reply(200, {}, json.dumps({"events": events}).encode())

    def work(self, body: Any) -> None:
        self.executor.work(
            queue_name("test", SPEC.id), json.dumps(body), self.clock.now(), turn("r", self.clock.now(), 60_000)
        )

    def start(self) -> None:
        now = self.clock.now()
        detail = {"id": "e1", "name": "user/signed.up", "data": {"plan": "pro"}, "ts": now, "received_at": now}
        self.work({"source": "tidemill", "detail": detail})

    @property
    def run(self) -> Any:
        (head,) = self.world.runs.of_event("e1")
        return head

    def steps(self) -> dict[str, Any]:
        records = self.world.runs.read(self.run.run_id)
        return {one.key: one for one in records if isinstance(one, StepDone)}

    def told(self, step: str, attempt: int = 1, **outcome: Any) -> dict[str, Any]:
        return {"ended": {"run_id": self.run.run_id, "step_id": step, "attempt": attempt, **outcome}}

    def stopped(self, exit: int = 0) -> dict[str, Any]:
        detail = {
            "taskArn": "arn:aws:ecs:r:a:task/c/1", "lastStatus": "STOPPED", "stoppedAt": "2026-09-01T00:00:00Z",
            "startedBy": f"{self.run.run_id}/1/{step_mark('sms')}", "stoppedReason": "", "group": "test-signup",
            "containers": [{"name": "step", "exitCode": exit}, {"name": "clock", "exitCode": 143}],
        }  # fmt: skip
        return {"source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail}


@pytest.fixture
def fn() -> Iterator[Deployed]:
    with Database(MEMORY) as database:
        yield Deployed(database)


def test_steps_that_end_in_time_are_one_invocation(fn: Deployed) -> None:
    fn.gives = {"crm": {"id": 7}, "sms": "sent", "hook": {"status": 200, "body": None}}
    fn.start()
    assert fn.run.status == "completed"
    assert [task.step.id for task in fn.tasks] == ["crm", "sms", "hook"]
    last = fn.tasks[-1]
    assert last.input["steps"] == {"crm": {"id": 7}, "sms": "sent"}
    assert last.input["event"]["data"] == {"plan": "pro"}
    assert last.input["ctx"] == {
        "function_id": "signup", "run_id": fn.run.run_id, "step_id": "hook", "attempt": 1
    }  # fmt: skip


def test_a_step_that_goes_on_elsewhere_keeps_nobody_waiting(fn: Deployed) -> None:
    fn.gives = {"crm": Handed(NOW + 900_000), "sms": Handed(NOW + 3_600_000), "hook": "done"}
    fn.start()
    assert fn.run.status not in ("completed", "failed")
    assert [one.step.id for one in fn.tasks] == ["crm"]
    fn.clock.ms += 60_000
    fn.work(fn.told("crm", value={"id": 7}))
    assert [one.step.id for one in fn.tasks] == ["crm", "sms"]
    assert fn.tasks[1].input["steps"] == {"crm": {"id": 7}}
    fn.clock.ms += 60_000
    fn.log = ['{"to": "u1"}']
    fn.work(fn.stopped())
    assert (fn.run.status, [one.step.id for one in fn.tasks]) == ("completed", ["crm", "sms", "hook"])
    assert {key: values.plain(one.value) for key, one in fn.steps().items()} == {
        "crm": {"id": 7}, "sms": {"to": "u1"}, "hook": "done"
    }  # fmt: skip


def test_an_end_that_is_told_twice_or_too_late_changes_nothing(fn: Deployed) -> None:
    fn.gives = {"crm": Handed(NOW + 900_000), "sms": "sent", "hook": "done"}
    fn.start()
    fn.work(fn.told("crm", value=1))
    assert fn.run.status == "completed"
    before = fn.world.runs.read(fn.run.run_id)
    fn.work(fn.told("crm", value=2))
    fn.work(fn.told("crm", attempt=2, value=3))
    assert fn.world.runs.read(fn.run.run_id) == before
    assert fn.dead == []


def test_a_failure_that_is_told_is_another_attempt(fn: Deployed) -> None:
    fn.gives = {"crm": lambda task: Handed(NOW + 900_000) if task.attempt == 1 else "well", "sms": 1, "hook": 1}
    fn.start()
    fn.work(fn.told("crm", failure={"type": "KeyError", "message": "no"}))
    assert fn.run.status == "completed"
    assert [(one.step.id, one.attempt) for one in fn.tasks[:2]] == [("crm", 1), ("crm", 2)]


def test_a_container_that_failed_fails_its_step(fn: Deployed) -> None:
    fn.gives = {"crm": 1, "sms": Handed(NOW + 900_000), "hook": 1}
    fn.start()
    fn.work(fn.stopped(exit=3))
    tried = [one for one in fn.tasks if one.step.id == "sms"]
    assert [one.attempt for one in tried] == [1, 2]  # the second goes on elsewhere again


def test_what_is_never_told_has_failed_in_the_end(fn: Deployed) -> None:
    fn.gives = {"crm": lambda _: Handed(fn.clock.now() + 900_000), "sms": 1, "hook": 1}
    fn.start()
    for attempt in (1, 2):
        assert [one.attempt for one in fn.tasks] == list(range(1, attempt + 1))
        fn.clock.ms = fn.run.due
        fn.work({"look": fn.run.run_id})
    assert fn.run.status == "failed"
    assert fn.clock.ms >= NOW + 1_800_000
    assert fn.steps()["crm"].failure.type == "StepTimeoutError"


def test_a_message_of_a_step_that_is_gone_is_a_dead_letter(fn: Deployed) -> None:
    fn.gives = {"crm": Handed(NOW + 900_000)}
    fn.start()
    fn.work(fn.told("gone", value=1))
    ((function_id, _, about),) = fn.dead
    assert (function_id, about["run_id"]) == ("signup", fn.run.run_id)
    assert "has no step 'gone'" in about["reason"]


def test_a_message_of_a_run_that_is_gone_changes_nothing(fn: Deployed) -> None:
    fn.work({"ended": {"run_id": "01GONE", "step_id": "crm", "attempt": 1, "value": 1}})
    assert fn.dead == []


# --- loaded ----------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    environment = {
        "AWS_REGION": "eu-west-1", "TIDEMILL_NAME": "test", "TIDEMILL_TABLE": "t", "TIDEMILL_BUCKET": "b",
        "TIDEMILL_BUS": "b", "TIDEMILL_QUEUES": "https://sqs/1/", "TIDEMILL_TIMERS_ARN": "a",
        "TIDEMILL_SCHEDULE_GROUP": "g", "TIDEMILL_SCHEDULE_ROLE": "r", "TIDEMILL_CLUSTER": "c",
        "TIDEMILL_SUBNETS": "s", "TIDEMILL_SECURITY_GROUPS": "g", "TIDEMILL_TASK_LOGS": "/tasks",
        "TIDEMILL_SIGNING_KEY": "arn:secret",
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    once = (world.settings, world.client, world.world)  # made once a process
    for made in once:
        made.cache_clear()
    yield environment
    for made in once:
        made.cache_clear()


def test_definitions_are_functions(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_bytes(msgspec.json.encode([DEFINITION]))
    found = load_app.load({**environment, "TIDEMILL_DEFINITIONS": str(file)}, lambda: None)
    assert {id: function.spec for id, function in found.items()} == {"signup": SPEC}
    assert defined.kinds((DEFINITION,)) == {"lambda", "docker", "http"}


def test_definitions_that_cannot_be_loaded_are_told(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text("[{}]")
    for path in (file, tmp_path / "gone.json"):
        with pytest.raises(load_app.BadDeploy, match="add_definitions"):
            load_app.load({**environment, "TIDEMILL_DEFINITIONS": str(path)}, lambda: None)
