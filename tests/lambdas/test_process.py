"""The real handler in a real Lambda process (awslambdaric), on moto's AWS over HTTP: it is cold, warm, dies, is killed,
runs out of time. What a queue would do, the test does: it delivers, and delivers again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.moto_server import MotoServer
from support.runtime_api import Function, LambdaDied

from tidemill.aws import world as worlds
from tidemill.aws.calls.client import Client
from tidemill.aws.settings import settings
from tidemill.core.journal import Claimed, Ended, HandedOver, StepDone
from tidemill.ports import World
from tidemill_local.testing import moto

APP = '''
import os
import time

from tidemill import App, Context
from tidemill.aws.function import executor

executor.GRACE = int(os.environ.get("GRACE", executor.GRACE))  # so that the test need not wait for it
app = App("shop")


def once(name: str) -> bool:
    """Whether this is the first time, in any process."""
    try:
        os.close(os.open(os.path.join(os.environ["MARKS"], name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


@app.function(on="order/placed")
def pack(ctx: Context) -> str:
    weight = ctx.step.run("weigh", lambda: 3)
    return ctx.step.run("label", lambda: f"{weight} kg of {ctx.event.data['item']}")


def crash() -> str:
    if once("crashed"):
        os._exit(3)
    return "survived"


@app.function(on="order/fragile")
def fragile(ctx: Context) -> list[str]:
    return [ctx.step.run("before", lambda: "here"), ctx.step.run("crash", crash)]


def hang() -> str:
    if once("hung"):
        time.sleep(600)
    return "in time"


@app.function(on="order/late")
def late(ctx: Context) -> str:
    return ctx.step.run("hang", hang)


def part(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(on="order/long")
def long(ctx: Context) -> int:
    return len([ctx.step.run(f"part {n}", part, 1) for n in range(10)])


@app.function(on="order/talk")
def talk(ctx: Context) -> None:
    ctx.step.run("say", lambda: ctx.logger.info("packing"))


@app.function(on="order/poison", retries=0)
def poison(ctx: Context) -> None:
    ctx.step.run("die", os._exit, 1)


@app.function(on="order/heavy")
def heavy(ctx: Context) -> list[str]:
    import sys

    return sorted(sys.modules)


handler = app.handler
'''


@dataclass
class Deployment:
    """A deployment on moto's AWS, and its app's Lambda."""

    client: Client
    world: World
    environment: dict[str, str]
    folder: Path

    def function(
        self, timeout: float = 120, handler: str = "tidemill.aws.function.entry.handler", **environment: str
    ) -> Function:
        everything = {**self.environment, "MARKS": str(self.folder), "TIDEMILL_APP": "shop_app:app", **environment}
        return Function(handler, everything, timeout, path=(str(self.folder),))

    def queue(self, function_id: str) -> str:
        return settings(self.environment).queue_url(function_id).rpartition("/")[2]

    def start(self, function_id: str, name: str, event_id: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """The message that EventBridge would put into the function's queue."""
        now = int(time.time() * 1_000)
        detail = {"id": event_id, "name": name, "data": data or {}, "ts": now, "received_at": now}
        return self.message(function_id, {"source": "tidemill", "detail-type": name, "detail": detail})

    def message(self, function_id: str, body: Any) -> dict[str, Any]:
        record = {
            "messageId": "m1",
            "body": json.dumps(body),
            "attributes": {"SentTimestamp": str(int(time.time() * 1_000))},
            "eventSourceARN": moto.queue_arn(self.queue(function_id)),
        }
        return {"Records": [record]}

    def received(self, url: str) -> list[dict[str, Any]]:
        """What is in a queue, delayed messages left out."""
        asked = {"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "WaitTimeSeconds": 0}
        return self.client.call("sqs", "ReceiveMessage", asked).get("Messages", [])

    def run(self, event_id: str) -> Any:
        (head,) = self.world.runs.of_event(event_id)
        return head

    def records(self, event_id: str) -> list[Any]:
        return self.world.runs.read(self.run(event_id).run_id)

    def lapse(self, event_id: str) -> None:
        """Wait until the last claim of the run is over (tests shorten the grace)."""
        claims = [record for record in self.records(event_id) if isinstance(record, Claimed)]
        time.sleep(max(claims[-1].until / 1_000 - time.time() + 0.01, 0))


FUNCTIONS = ("pack", "fragile", "late", "long", "poison", "heavy", "talk")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with MotoServer() as server:
        yield server.url


@pytest.fixture
def deployment(server: str, tmp_path: Path) -> Deployment:
    name = moto.fresh("proc").replace("-", "")
    environment = {
        "AWS_ENDPOINT_URL": server,
        "AWS_REGION": moto.REGION,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "TIDEMILL_NAME": name,
        "TIDEMILL_TABLE": name,
        "TIDEMILL_BUCKET": name,
        "TIDEMILL_BUS": name,
        "TIDEMILL_QUEUES": f"{server}/{moto.ACCOUNT}/",
        "TIDEMILL_TIMERS_ARN": moto.queue_arn("timers"),
        "TIDEMILL_SCHEDULE_GROUP": name,
        "TIDEMILL_SCHEDULE_ROLE": "arn:aws:iam::123456789012:role/schedules",
    }
    client = moto.client()
    found = settings(environment)
    moto.create_table(client, name)
    moto.create_bucket(client, name)
    moto.create_bus(client, name)
    for function in FUNCTIONS:
        url = found.queue_url(f"shop.{function}")
        moto.create_queue(client, url.rpartition("/")[2])
        moto.create_queue(client, url.rpartition("/")[2] + "-dead")
    (tmp_path / "shop_app.py").write_text(APP)
    return Deployment(client, worlds.build(client, found), environment, tmp_path)


def test_a_start_in_a_cold_process_and_one_in_a_warm(deployment: Deployment) -> None:
    with deployment.function() as function:
        for event_id in ("e1", "e2"):
            start = deployment.start("shop.pack", "order/placed", event_id, {"item": "tea"})
            assert function.invoke(start) == {"batchItemFailures": []}
            assert deployment.run(event_id).status == "completed"
        assert function.cold_starts == 1
    lines = [json.loads(line) for line in function.output.splitlines() if "CloudWatchMetrics" in line]
    assert [line["RunsCompleted"] for line in lines] == [1, 1]
    assert deployment.records("e1")[-1].value == b'"3 kg of tea"'


def test_an_app_is_its_own_handler_and_what_its_steps_log_says_which_run(deployment: Deployment) -> None:
    with deployment.function(handler="shop_app.handler", TIDEMILL_APP="", AWS_LAMBDA_LOG_LEVEL="INFO") as function:
        function.invoke(deployment.start("shop.talk", "order/talk", "e1"))
    run = deployment.run("e1")
    assert run.status == "completed"
    (line,) = [json.loads(line) for line in function.output.splitlines() if "packing" in line]
    ids = (line["function_id"], line["run_id"], line["event_id"])
    assert (line["message"], line["level"], ids) == ("packing", "INFO", ("shop.talk", run.run_id, "e1"))


def test_a_plain_handler_needs_nothing_of_ours(deployment: Deployment) -> None:
    (deployment.folder / "legacy.py").write_text(
        "def handler(event, context):\n    return [event['event']['id'], context.aws_request_id[:8]]\n"
    )
    spec = '{"id":"shop.pack","app":"shop","name":"pack","triggers":[{"type":"event","name":"order/placed"}]}'
    with deployment.function(TIDEMILL_APP="", TIDEMILL_HANDLER="legacy.handler", TIDEMILL_FUNCTION=spec) as function:
        function.invoke(deployment.start("shop.pack", "order/placed", "e1"))
    assert deployment.records("e1")[-1].value == b'["e1","request-"]'


def test_a_process_that_dies_in_mid_step_is_a_failed_attempt(deployment: Deployment) -> None:
    with deployment.function(timeout=10, GRACE="0") as function:
        start = deployment.start("shop.fragile", "order/fragile", "e1")
        with pytest.raises(LambdaDied):
            function.invoke(start)
        deployment.lapse("e1")
        function.invoke(start)
        run = deployment.run("e1")
        records = deployment.records("e1")
        assert run.status == "completed"
        assert function.cold_starts == 2
    steps = {record.key: record.attempts for record in records if isinstance(record, StepDone)}
    assert steps == {"before": 1, "crash": 2}


def test_a_process_that_runs_out_of_time_is_one_too(deployment: Deployment) -> None:
    with deployment.function(timeout=6, GRACE="0") as function:
        start = deployment.start("shop.late", "order/late", "e1")
        with pytest.raises(LambdaDied):
            function.invoke(start)
        deployment.lapse("e1")
        function.timeout = 60
        function.invoke(start)
        assert deployment.run("e1").status == "completed"
        assert deployment.records("e1")[-1].value == b'"in time"'


def test_a_message_that_meets_a_live_claim_is_sent_again_for_its_end(deployment: Deployment) -> None:
    with deployment.function(timeout=120) as function:
        start = deployment.start("shop.fragile", "order/fragile", "e1")
        with pytest.raises(LambdaDied):
            function.invoke(start)
        assert function.invoke(start) == {"batchItemFailures": []}
        assert isinstance(deployment.records("e1")[-1], StepDone)  # nobody has claimed it again


def test_a_run_longer_than_its_lambda_moves_on_between_steps(deployment: Deployment) -> None:
    url = settings(deployment.environment).queue_url("shop.long")
    with deployment.function(timeout=10) as function:
        function.invoke(deployment.start("shop.long", "order/long", "e1"))
        invocations = 1
        while messages := deployment.received(url):
            assert [json.loads(message["Body"]) for message in messages] == [{"look": deployment.run("e1").run_id}]
            deployment.client.call(
                "sqs", "DeleteMessage", {"QueueUrl": url, "ReceiptHandle": messages[0]["ReceiptHandle"]}
            )
            function.invoke(deployment.message("shop.long", json.loads(messages[0]["Body"])))
            invocations += 1
        assert function.cold_starts == 1  # nobody was killed
    records = deployment.records("e1")
    assert isinstance(records[-1], Ended)
    assert records[-1].value == b"10"
    assert sum(isinstance(record, HandedOver) for record in records) == invocations - 1 >= 1
    assert all(record.attempts == 1 for record in records if isinstance(record, StepDone))


def test_poison_fails_the_run_and_lies_in_the_dead_letter_queue(deployment: Deployment) -> None:
    with deployment.function(timeout=10, GRACE="0") as function:
        start = deployment.start("shop.poison", "order/poison", "e1")
        with pytest.raises(LambdaDied):
            function.invoke(start)
        deployment.lapse("e1")
        assert function.invoke(start) == {"batchItemFailures": []}
    assert deployment.run("e1").status == "failed"
    (letter,) = deployment.received(settings(deployment.environment).dead_letter_url("shop.poison"))
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert json.loads(letter["Body"])["detail"]["id"] == "e1"
    assert (attributes["run_id"], attributes["function_id"]) == (deployment.run("e1").run_id, "shop.poison")
    assert "died" in attributes["reason"]


def test_a_bad_deploy_fails_the_message_with_a_sentence(deployment: Deployment) -> None:
    with (
        deployment.function(TIDEMILL_APP="no_such_module:app") as function,
        pytest.raises(RuntimeError, match="no_such_mod"),
    ):
        function.invoke(deployment.start("shop.pack", "order/placed", "e1"))
    assert "deploy code that imports" in function.output
    assert deployment.world.runs.of_event("e1") == []


HEAVY = {
    "asyncio",
    "boto3",
    "botocore",
    "pydantic",
    "aws_lambda_powertools",
    "urllib.request",
    "concurrent.futures",
    "cel",
}


def test_handling_a_message_imports_nothing_heavy(deployment: Deployment) -> None:
    with deployment.function() as function:
        function.invoke(deployment.start("shop.heavy", "order/heavy", "e1"))
    loaded = set(json.loads(deployment.records("e1")[-1].value))
    assert sorted(loaded & HEAVY) == []
    assert "tidemill.aws.function.executor" in loaded


def test_no_thread_waits_for_a_process_that_has_ended(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text("def handler(event, context):\n    return event\n")
    before = set(threading.enumerate())
    with Function("echo.handler", {}, path=(str(tmp_path),)) as function:
        assert function.invoke({"a": 1}) == {"a": 1}
    left = set(threading.enumerate()) - before
    for each in left:
        each.join(60)
    assert not [each for each in left if each.is_alive()]
