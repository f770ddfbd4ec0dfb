"""Looks on SQS: at once, held back by the queue, by a schedule, or left to the sweep."""

from __future__ import annotations

import json

import pytest
from support.doubles import Clock

from tidemill.aws.calls.client import AwsError, Client, Reply, Request
from tidemill.aws.messages import types as message
from tidemill.aws.messages.parse import read as read_message
from tidemill.aws.messages.queue import SqsQueue
from tidemill.aws.settings import Settings, queue_name
from tidemill.errors import Unavailable
from tidemill_local.testing import moto

NOW = 1_790_000_000_400  # 2026-09-21T14:13:20.4Z
FUNCTION = "shop.order"
MINUTE = 60_000


class Recorded:
    """moto, and what was asked of it."""

    def __init__(self) -> None:
        self._moto = moto.MotoTransport()
        self.requests: list[tuple[str, str, dict]] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append((request.operation, request.target, json.loads(request.body or b"{}")))
        return self._moto(request)

    def asked(self, service_target: str) -> list[tuple[str, str, dict]]:
        return [each for each in self.requests if service_target in each[1]]


class Here:
    def __init__(self) -> None:
        deployment = moto.fresh("q")
        self.aws = Recorded()
        self.client: Client = moto.client(self.aws)
        self.timers = moto.create_queue(self.client, f"{deployment}-timers")
        self.url = moto.create_queue(self.client, queue_name(deployment, FUNCTION))
        self.settings = Settings(
            deployment=deployment,
            table="t",
            bucket="b",
            bus="bus",
            queues=self.url.removesuffix(queue_name(deployment, FUNCTION)),
            timers_arn=moto.queue_arn(f"{deployment}-timers"),
            schedule_group=f"{deployment}-runs",
            schedule_role=f"arn:aws:iam::{moto.ACCOUNT}:role/{deployment}-schedules",
        )
        group = f"/schedule-groups/{self.settings.schedule_group}"
        self.client.send("scheduler", "POST", group, headers={"content-type": "application/json"}, body=b"{}")
        self.queue = SqsQueue(self.client, self.settings, Clock(NOW))
        self.aws.requests.clear()

    def sent(self) -> list[dict]:
        return [body for operation, _, body in self.aws.requests if operation == "SendMessage"]

    def schedule(self, name: str) -> dict | None:
        query = {"groupName": self.settings.schedule_group}
        try:
            return json.loads(self.client.send("scheduler", "GET", f"/schedules/{name}", query=query).body)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return None


@pytest.fixture
def here() -> Here:
    return Here()


def test_a_message_that_the_platform_sends_escapes_what_sqs_refuses():
    client, name = moto.client(), moto.fresh("characters")
    url = moto.create_queue(client, name)
    body = {"look": "\ufffe\uffff\x01é"}
    with pytest.raises(AwsError, match="InvalidMessageContents"):
        client.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": json.dumps(body, ensure_ascii=False)})
    client.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": message.text(body)})
    (sent,) = client.call("sqs", "ReceiveMessage", {"QueueUrl": url})["Messages"]
    assert json.loads(sent["Body"]) == body


def test_now_is_a_message_on_the_functions_queue(here: Here):
    here.queue.wake("RUN1", FUNCTION)
    received = here.client.call("sqs", "ReceiveMessage", {"QueueUrl": here.url})["Messages"]
    assert [json.loads(message["Body"]) for message in received] == [{"look": "RUN1"}]


def test_what_is_past_is_now(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW - 5)
    assert here.sent() == [{"QueueUrl": here.settings.queue_url(FUNCTION), "MessageBody": '{"look":"RUN1"}'}]


@pytest.mark.parametrize(
    ("ahead", "seconds"),
    [(1, None), (999, None), (1_000, 1), (1_999, 1), (60_500, 60), (15 * MINUTE, 900), (15 * MINUTE + 10_000, 900)],
)
def test_a_while_is_a_delay_in_whole_seconds_rounded_down(here: Here, ahead: int, seconds: int | None):
    here.queue.wake("RUN1", FUNCTION, NOW + ahead)
    (message,) = here.sent()
    assert json.loads(message["MessageBody"]) == {"look": "RUN1", "at": NOW + ahead}
    assert message.get("DelaySeconds") == seconds
    assert here.schedule("RUN1") is None


def test_a_message_held_back_is_not_there_yet(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW + 5 * MINUTE)
    assert "Messages" not in here.client.call("sqs", "ReceiveMessage", {"QueueUrl": here.url})


@pytest.mark.parametrize("ahead", [16 * MINUTE, 3_600_000, 86_400_000, 366 * 86_400_000])
def test_longer_is_a_schedule_aimed_early(here: Here, ahead: int):
    at = NOW + ahead
    here.queue.wake("RUN1", FUNCTION, at)
    assert here.sent() == []
    schedule = here.schedule("RUN1")
    assert schedule is not None
    assert schedule["GroupName"] == here.settings.schedule_group
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["Target"]["Arn"] == here.settings.timers_arn
    assert schedule["Target"]["RoleArn"] == here.settings.schedule_role
    assert json.loads(schedule["Target"]["Input"]) == {"look": "RUN1", "function_id": FUNCTION, "at": at}
    early = at - aimed(schedule["ScheduleExpression"])
    assert 60_000 + 59_000 <= early <= 120_000  # it fires up to a minute late, and still early enough


def aimed(expression: str) -> int:
    from datetime import UTC, datetime

    moment = datetime.strptime(expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000)


def test_a_run_has_one_schedule_and_it_is_moved(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW + 3_600_000)
    here.queue.wake("RUN1", FUNCTION, NOW + 7_200_000)
    schedule = here.schedule("RUN1")
    assert schedule is not None
    assert json.loads(schedule["Target"]["Input"])["at"] == NOW + 7_200_000
    assert [method for method, *_ in here.aws.asked("/schedules/RUN1")][:3] == ["POST", "POST", "PUT"]


def test_where_the_sweep_will_do_nothing_is_made(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW + 3_600_000, loose=True)
    assert here.aws.requests == []


def test_a_soon_look_is_sent_even_where_the_sweep_would_do(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW + 5_000, loose=True)
    assert len(here.sent()) == 1


def test_forgetting_deletes_the_schedule_and_may_be_done_twice(here: Here):
    here.queue.wake("RUN1", FUNCTION, NOW + 3_600_000)
    here.queue.forget("RUN1")
    here.queue.forget("RUN1")
    assert here.schedule("RUN1") is None


def answered(*replies: Reply) -> tuple[SqsQueue, list[str]]:
    """A queue to whose requests these are the answers, in turn and over again; and the requests' methods."""
    methods: list[str] = []

    def transport(request: Request) -> Reply:
        methods.append(request.method)
        return replies[(len(methods) - 1) % len(replies)]

    settings = Settings("m", "t", "b", "bus", "https://sqs/", "arn:timers", "group", "role")
    return SqsQueue(moto.client(transport, sleep=lambda _: None), settings, Clock(NOW)), methods


DONE = Reply(200, {}, b"{}")
CONFLICT = Reply(409, {"x-amzn-errortype": "ConflictException"}, b"{}")
GONE = Reply(404, {"x-amzn-errortype": "ResourceNotFoundException"}, b"{}")
WRONG = Reply(400, {"x-amzn-errortype": "ValidationException"}, b'{"Message": "no"}')


def test_a_schedule_that_fired_between_the_two_calls_is_made_anew():
    queue, methods = answered(CONFLICT, GONE, DONE)
    queue.wake("RUN1", FUNCTION, NOW + 3_600_000)
    assert methods == ["POST", "PUT", "POST"]


def test_a_schedule_that_others_keep_changing_is_tried_again_by_whoever_asked():
    queue, methods = answered(CONFLICT)
    with pytest.raises(Unavailable, match="RUN1"):
        queue.wake("RUN1", FUNCTION, NOW + 3_600_000)
    assert methods == ["POST", "PUT"] * 5


def test_a_schedule_that_aws_will_not_have_is_an_error():
    queue, _ = answered(WRONG)
    with pytest.raises(AwsError, match="ValidationException"):
        queue.wake("RUN1", FUNCTION, NOW + 3_600_000)


@pytest.mark.parametrize("ahead", [None, 5_000, 3_600_000])
@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterValue", "ValidationException"])
def test_what_aws_refuses_is_told_to_whoever_relies_on_it(code: str, ahead: int | None):
    queue, _ = answered(Reply(400, {"x-amzn-errortype": code}, b"{}"))
    with pytest.raises(AwsError, match=code):
        queue.wake("RUN1", FUNCTION, None if ahead is None else NOW + ahead)
    with pytest.raises(AwsError, match=code):
        queue.forget("RUN1")
    with pytest.raises(AwsError, match=code):
        queue.hand_back("RUN1", FUNCTION, "r1", 5)


def test_what_aws_does_not_answer_is_unavailable():
    queue, _ = answered(Reply(500, {}, b""))
    with pytest.raises(Unavailable):
        queue.wake("RUN1", FUNCTION)


def test_a_run_that_is_handed_back_says_whose_claim_is_over(here: Here):
    here.queue.hand_back("RUN1", FUNCTION, "r1", 5)
    (sent,) = here.sent()
    assert read_message(sent["MessageBody"]) == message.Wake("RUN1", None, "r1")
    assert sent["DelaySeconds"] == 5
