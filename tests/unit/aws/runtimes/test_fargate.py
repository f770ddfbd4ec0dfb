"""A step that is a container, by contract: what ECS is asked for, what its event tells, what its log holds.

No emulator runs tasks. The request is held against botocore's own model of RunTask and GetLogEvents; the event and the
log's records have the shapes that AWS documents (see test_step_results.py) and those of Docker's fluentd driver.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.validate import ParamValidator

from tidemill import values
from tidemill.aws.calls.client import Client, Credentials, Reply, Request
from tidemill.aws.messages.types import NotAMessage, StepFinished, Stopped
from tidemill.aws.runtimes import task_log
from tidemill.aws.runtimes.context import Places, places
from tidemill.aws.runtimes.ends import Ends
from tidemill.aws.runtimes.fargate import LONGEST, FargateSteps, cluster
from tidemill.aws.runtimes.task_log import PATIENCE, SETTLING
from tidemill.aws.settings import Settings, queue_name, step_mark, step_name
from tidemill.core.definition import Definition, Docker, StepSpec
from tidemill.core.graph import Node
from tidemill.errors import TaskFailed
from tidemill.model import Failure, FunctionSpec
from tidemill.task import Handed, Task

NOW = 1_790_000_000_000
SETTINGS = Settings("prod", "t", "bucket", "b", "https://sqs/1/", "arn:timers", "g", "arn:r")
TASK_ARN = "arn:aws:ecs:eu-west-1:111122223333:task/Cluster/c13b4cb40f1f4fe4a2971f76ae5a47ad"
CLUSTER = cluster(
    {
        "TIDEMILL_CLUSTER": "arn:aws:ecs:eu-west-1:111122223333:cluster/Cluster",
        "TIDEMILL_SUBNETS": "subnet-1,subnet-2",
        "TIDEMILL_SECURITY_GROUPS": "sg-1",
        "TIDEMILL_PUBLIC_IP": "true",
        "TIDEMILL_TASK_LOGS": "/tidemill/prod/tasks/f",
    }
)
SMS = StepSpec(Node("send sms"), Docker(), path="sms", timeout=600_000)
LONG = StepSpec(Node("long"), Docker(), path="long")
DEFINITION = Definition(FunctionSpec("signup", "definitions", "Signup"), (SMS, LONG))


@dataclass
class Aws:
    """ECS, CloudWatch Logs, S3 and SQS as far as they are asked: `pages` of a log, `answer` to RunTask."""

    answer: dict[str, Any] = field(default_factory=lambda: {"tasks": [{"taskArn": TASK_ARN}], "failures": []})
    pages: list[list[str]] | None = None
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    now: int = NOW
    status: int = 200

    def __call__(self, request: Request) -> Reply:
        body = json.loads(request.body)
        _check(request.service, request.operation, body)
        self.calls.append((request.headers["x-amz-target"], body))
        if request.service == "sqs":
            self.sent.append(body)
            return Reply(200, {}, b"{}")
        if request.service == "logs":
            return self._log(body)
        return Reply(self.status, {}, json.dumps(self.answer).encode())

    def _log(self, body: dict[str, Any]) -> Reply:
        assert body["startFromHead"] is True
        if self.pages is None:
            return Reply(400, {}, b'{"__type": "ResourceNotFoundException", "message": "no such stream"}')
        number = int(body.get("nextToken", "f/0")[2:])
        page = self.pages[number] if number < len(self.pages) else []
        events = [{"timestamp": 1, "message": text, "ingestionTime": 2} for text in page]
        following = f"f/{min(number + 1, len(self.pages))}"
        return Reply(200, {}, json.dumps({"events": events, "nextForwardToken": following}).encode())

    def put(self, data: bytes) -> str:
        self.blobs["sha"] = data
        return "sha"

    def get(self, name: str) -> bytes:
        return self.blobs[name]

    @property
    def places(self) -> Places:
        client = Client(
            region="eu-west-1", credentials=lambda: Credentials("AKID", "S", "token"), environment={}, transport=self,
            sleep=lambda _: None, clock=lambda: self.now / 1_000,
        )  # fmt: skip
        return places(client, SETTINGS, self, lambda: self.now)

    @property
    def runtime(self) -> FargateSteps:
        return FargateSteps(self.places, CLUSTER)

    def end(self, found: StepFinished | Stopped) -> bytes | Failure | None:
        return Ends(self.places, [DEFINITION], CLUSTER.log_group).end("signup", found, "the body")


_session = botocore.session.get_session()


def _check(service: str, operation: str, body: dict[str, Any]) -> None:
    """Refuse a body that AWS's own model of this operation does not know."""
    model = _session.get_service_model(service).operation_model(operation)
    assert not set(body) - set(model.input_shape.members), body
    report = ParamValidator().validate(body, model.input_shape)
    assert not report.has_errors(), report.generate_report()


def task(step: StepSpec = SMS, **given: Any) -> Task:
    return Task("signup", "01KQRUN", 2, step, ".", {"event": {"name": "a"}, "steps": {}, **given})


def stopped(at: int | None = NOW - SETTLING, code: str = "EssentialContainerExited", **codes: int | None) -> Stopped:
    codes = {"step": 0, "clock": 143, "router": 0, **codes}
    return Stopped("01KQRUN", step_mark(SMS.id), 2, TASK_ARN, codes, code, "Essential container in task exited", at)


def line(log: str, source: str = "stdout", **rest: str) -> str:
    about = {"container_id": "c13b-1", "container_name": "step", "source": source, "log": log}
    return json.dumps({**about, **rest})


def failure(run: Callable[[], Any]) -> Failure:
    with pytest.raises(TaskFailed) as told:
        run()
    return told.value.failure


# --- begun -----------------------------------------------------------------------------------------------


def test_a_task_is_asked_for() -> None:
    aws = Aws()
    assert aws.runtime(task()) == Handed(NOW + 15 * 60_000 + 600_000)
    ((target, asked),) = aws.calls
    assert target == "AmazonEC2ContainerServiceV20141113.RunTask"
    assert asked.pop("clientToken").isalnum()
    assert asked == {
        "cluster": CLUSTER.arn,
        "taskDefinition": step_name("prod", "signup", "send sms"),
        "launchType": "FARGATE",
        "count": 1,
        "group": queue_name("prod", "signup"),
        "startedBy": f"01KQRUN/2/{step_mark('send sms')}",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
            }
        },
        "overrides": {
            "containerOverrides": [{"name": "step", "command": ['{"event":{"name":"a"},"steps":{}}']}]
        },
    }  # fmt: skip


def test_what_starts_a_task_is_written_as_ecs_takes_it() -> None:
    asked = Aws().runtime.request(task(StepSpec(Node("ä" * 256), Docker())))
    assert len(asked["startedBy"]) <= 128
    assert len(asked["clientToken"]) <= 64
    assert all(sign.isascii() and (sign.isalnum() or sign in "-_/") for sign in asked["startedBy"])


def test_the_same_attempt_asks_for_the_same_task_and_another_for_another() -> None:
    def token(attempt: int) -> str:
        one = Task("signup", "01KQRUN", attempt, SMS, ".", {})
        return str(Aws().runtime.request(one)["clientToken"])

    assert token(1) == token(1) != token(2)


def test_a_step_without_a_timeout_has_a_day() -> None:
    assert Aws().runtime(task(LONG)) == Handed(NOW + 15 * 60_000 + LONGEST)


@pytest.mark.parametrize("text", ["x" * 7_200, '"' * 3_900])
def test_input_that_ecs_would_not_take_is_fetched(text: str) -> None:
    """Seven KB at most; fewer where quotes make more of them."""
    aws = Aws()
    aws.runtime(task(text=text))
    overrides = aws.calls[0][1]["overrides"]
    assert len(json.dumps(overrides)) < 8_192
    (argument,) = overrides["containerOverrides"][0]["command"]
    url = urlsplit(json.loads(argument)["input_url"])
    assert (url.scheme, url.netloc, url.path) == ("https", "bucket.s3.eu-west-1.amazonaws.com", "/blobs/sha")
    query = parse_qs(url.query)
    assert (query["X-Amz-Expires"], query["X-Amz-Security-Token"]) == (["3600"], ["token"])
    assert json.loads(aws.blobs["sha"])["text"] == text


def test_a_task_that_is_not_begun_may_be_asked_for_again() -> None:
    none = {"tasks": [], "failures": [{"reason": "Capacity is unavailable at this time.", "detail": "eu-west-1a"}]}
    found = failure(lambda: Aws(none).runtime(task()))
    assert (found.type, found.retriable) == ("NotStarted", True)
    assert "Capacity is unavailable at this time. eu-west-1a" in found.message
    refused = {"__type": "ClusterNotFoundException", "message": "Cluster not found."}
    found = failure(lambda: Aws(refused, status=400).runtime(task()))
    assert (found.type, found.retriable) == ("ClusterNotFoundException", True)


# --- stopped ---------------------------------------------------------------------------------------------


def test_output_is_what_went_to_standard_output() -> None:
    page = [line("warming up", "stderr"), line('{"sent":'), line("careful", "stderr"), line('  "yes"}')]
    aws = Aws(pages=[page])
    assert aws.end(stopped()) == values.encode({"sent": "yes"}, "result")
    target, asked = aws.calls[0]
    assert target == "Logs_20140328.GetLogEvents"
    assert asked["logGroupName"] == "/tidemill/prod/tasks/f"
    name = step_name("prod", "signup", "send sms")
    assert asked["logStreamName"] == f"{name}/step-firelens-c13b4cb40f1f4fe4a2971f76ae5a47ad"


def test_output_that_is_no_json_is_text() -> None:
    assert Aws(pages=[[line("sent"), line("all")]]).end(stopped()) == values.encode({"body": "sent\nall\n"}, "result")


def test_long_lines_come_in_parts_and_a_long_log_in_pages() -> None:
    text = json.dumps({"text": "y" * 40_000})
    parts = [text[:16_384], text[16_384:32_768], text[32_768:]]

    def part(number: int) -> str:
        last = "true" if number == 2 else "false"
        about = {"partial_message": "true", "partial_id": "p1", "partial_ordinal": str(number + 1)}
        return line(parts[number], partial_last=last, **about)

    records = [part(number) for number in range(3)]
    swapped = [records[1], records[0], line("in between", "stderr"), records[2]]
    aws = Aws(pages=[[one] for one in swapped])
    assert aws.end(stopped()) == values.encode({"text": "y" * 40_000}, "result")
    assert len(aws.calls) == 5


def test_an_output_with_a_status_that_says_failed_is_one() -> None:
    found = Aws(pages=[[line('{"status": 503}')]]).end(stopped())
    assert isinstance(found, Failure)
    assert (found.type, found.retriable) == ("StatusError", True)


@pytest.mark.parametrize(
    ("found", "type", "said"),
    [
        (stopped(step=137, clock=0), "StepTimeoutError", "600 s"),
        (stopped(code="TaskFailedToStart", step=None, clock=None), "NotStarted", "TaskFailedToStart"),
    ],
)
def test_a_task_that_failed(found: Stopped, type: str, said: str) -> None:
    aws = Aws()
    end = aws.end(found)
    assert isinstance(end, Failure)
    assert (end.type, end.retriable) == (type, True)
    assert said in end.message
    assert aws.calls == []


@pytest.mark.parametrize(
    ("out", "type", "retriable"), [("", "ExitError", True), ('{"status": 422}', "StatusError", False)]
)
def test_a_status_decides_whatever_the_exit_code(out: str, type: str, retriable: bool) -> None:
    end = Aws(pages=[[line(out)]]).end(stopped(step=3))
    assert isinstance(end, Failure)
    assert (end.type, end.retriable) == (type, retriable)
    assert "exit code 3" in end.message


def test_a_task_that_ended_just_before_its_clock_has_ended_well() -> None:
    assert Aws(pages=[[line("1")]]).end(stopped(clock=0)) == b"1"


# CloudWatch shows what it has taken a little later.


def test_a_log_is_given_time_to_settle() -> None:
    aws = Aws(pages=[[line("1")]])
    assert aws.end(stopped(at=NOW)) is None
    assert aws.sent == [
        {"QueueUrl": SETTINGS.queue_url("signup"), "MessageBody": "the body", "DelaySeconds": SETTLING // 1_000}
    ]
    aws.now += SETTLING
    assert aws.end(stopped(at=NOW)) == b"1"


@pytest.mark.parametrize("pages", [None, [], [[line("only a word", "stderr")]], [[line('{"half":')]]])
def test_a_log_that_looks_as_if_something_were_missing_is_read_again(pages: Any) -> None:
    aws = Aws(pages=pages)
    assert aws.end(stopped()) is None
    assert [one["DelaySeconds"] for one in aws.sent] == [10]
    aws.now += PATIENCE
    assert isinstance(aws.end(stopped()), bytes)  # it is what it is
    assert len(aws.sent) == 1


def test_without_a_time_it_is_read_as_it_is() -> None:
    assert Aws(pages=None).end(stopped(at=None)) == values.encode({"body": ""}, "result")


def test_more_output_than_anybody_reads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_log, "OUTPUT_BYTES", 10)
    found = Aws(pages=[[line("x" * 11)]]).end(stopped())
    assert isinstance(found, Failure)
    assert (found.type, found.retriable) == ("OutputTooLarge", False)


# --- what else is told -----------------------------------------------------------------------------------


def test_the_end_of_a_lambda_is_a_value_a_blob_or_a_failure() -> None:
    aws = Aws()
    assert aws.end(StepFinished("r", "long", 1, b'{"a": 1}')) == b'{"a":1}'
    aws.put(b"[1, 2]")
    assert aws.end(StepFinished("r", "long", 1, blob="sha")) == b"[1,2]"
    assert aws.end(StepFinished("r", "long", 1, failure=Failure("E", "no"))) == Failure("E", "no")
    late = aws.end(StepFinished("r", "long", 1, b'{"statusCode": 400}'))
    assert isinstance(late, Failure)
    assert late.retriable is False


def test_a_step_that_the_definition_does_not_have() -> None:
    ends = Ends(Aws().places, [DEFINITION], "")
    assert ends.step_of("signup", stopped()) == "send sms"
    assert ends.step_of("signup", StepFinished("r", "long", 1)) == "long"
    for function_id, found in (("signup", StepFinished("r", "gone", 1)), ("gone", StepFinished("r", "long", 1))):
        with pytest.raises(NotAMessage, match=r"no step .gone.|gone has no step"):
            ends.step_of(function_id, found)
