"""What schedules send goes on to the functions' queues, with the rest of the time as delay."""

from __future__ import annotations

import json

import pytest
from support.doubles import Clock

from tidemill.aws.calls.client import Client, Reply, Request
from tidemill.aws.messages.queue import SqsQueue
from tidemill.aws.settings import Settings, queue_name
from tidemill_lambdas.timers.forward import forward
from tidemill_local.testing import moto

NOW = 1_790_000_000_400
FUNCTION = "shop.order"


class Recorded:
    def __init__(self) -> None:
        self._moto = moto.MotoTransport()
        self.sent: list[dict] = []
        self.down = False
        self.refuses: Reply | None = None

    def __call__(self, request: Request) -> Reply:
        if self.down:
            raise TimeoutError("SQS is far away")
        if self.refuses is not None:
            return self.refuses
        if request.operation == "SendMessage":
            self.sent.append(json.loads(request.body))
        return self._moto(request)


class Here:
    def __init__(self) -> None:
        self.aws = Recorded()
        self.again: list[str] = []
        client: Client = moto.client(self.aws, sleep=lambda _: None)
        mill = moto.fresh("t")
        url = moto.create_queue(client, queue_name(mill, FUNCTION))
        queues = url.removesuffix(queue_name(mill, FUNCTION))
        self.queue = SqsQueue(client, Settings(mill, "t", "b", "bus", queues, "arn", "group", "role"), Clock(NOW))

    def forward(self, *bodies: object) -> dict[str, str]:
        records = [{"messageId": f"m{n}", "body": json.dumps(body)} for n, body in enumerate(bodies)]
        return forward(records, self.queue, lambda record: self.again.append(record["messageId"]))

    def delays(self) -> list[tuple[dict, int | None]]:
        return [(json.loads(sent["MessageBody"]), sent.get("DelaySeconds")) for sent in self.aws.sent]


@pytest.fixture
def here() -> Here:
    return Here()


def wake(run_id: str, at: int, function_id: str = FUNCTION) -> dict:
    return {"look": run_id, "function_id": function_id, "at": at}


def test_the_rest_of_the_time_is_a_delay_rounded_down(here: Here):
    assert here.forward(wake("R1", NOW + 118_999), wake("R2", NOW + 60_000), wake("R3", NOW + 999)) == {}
    assert here.delays() == [
        ({"look": "R1", "at": NOW + 118_999}, 118),
        ({"look": "R2", "at": NOW + 60_000}, 60),
        ({"look": "R3", "at": NOW + 999}, None),
    ]


def test_what_is_late_goes_at_once_and_still_says_when_it_was_due(here: Here):
    assert here.forward(wake("R1", NOW - 5_000)) == {}
    assert here.delays() == [({"look": "R1", "at": NOW - 5_000}, None)]


def test_a_schedule_that_fires_far_too_early_is_held_back_as_long_as_can_be(here: Here):
    assert here.forward(wake("R1", NOW + 86_400_000)) == {}
    assert here.delays() == [({"look": "R1", "at": NOW + 86_400_000}, 900)]


def test_what_is_none_of_ours_fails_alone(here: Here):
    failed = here.forward(wake("R1", NOW), {"hello": 1}, wake("R2", NOW))
    assert list(failed) == ["m1"]
    assert "no schedule of Tidemill" in failed["m1"]
    assert [body["look"] for body, _ in here.delays()] == ["R1", "R2"]


def test_what_could_not_be_sent_comes_again(here: Here):
    here.aws.down = True
    failed = here.forward(wake("R1", NOW), wake("R2", NOW))
    assert list(failed) == ["m0", "m1"]
    assert "far away" in failed["m0"]
    assert here.again == ["m0", "m1"]


def test_what_aws_refuses_comes_again_and_is_not_acknowledged(here: Here):
    here.aws.refuses = Reply(400, {"x-amzn-errortype": "AccessDenied"}, b"{}")
    failed = here.forward(wake("R1", NOW))
    assert "AccessDenied" in failed["m0"]
    assert here.again == []  # nobody knows that it will pass


def test_a_function_that_is_gone_keeps_nobody_up(here: Here):
    assert here.forward(wake("R1", NOW, "shop.removed"), wake("R2", NOW)) == {}
    assert [body["look"] for body, _ in here.delays()] == ["R1", "R2"]
