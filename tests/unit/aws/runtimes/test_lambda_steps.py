"""A step that is a Lambda: what is asked of AWS, how long it is waited for, and what an answer means."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from tidemill.aws.calls.client import Client, Credentials, Reply, Request
from tidemill.aws.runtimes.context import places
from tidemill.aws.runtimes.lambda_ import LATE, LONGEST, QUEUED, WAIT, LambdaSteps
from tidemill.aws.runtimes.step_handler import ANSWER_BYTES, ELSEWHERE
from tidemill.aws.settings import Settings, queue_name, step_name
from tidemill.core.definition import Lambda, StepSpec
from tidemill.core.graph import Node
from tidemill.errors import TaskFailed, Unavailable
from tidemill.task import Handed, Task

NOW = 1_790_000_000_000
SETTINGS = Settings("prod", "t", "bucket", "b", "https://sqs/1/", "arn:timers", "g", "arn:r")
ARN = "arn:aws:lambda:eu-west-1:111122223333:function:theirs"


@dataclass
class Aws:
    """A Lambda service that gives these answers, in order, the last one for ever; one that takes too long: None."""

    answers: list[Reply | Exception | None]
    requests: list[Request] = field(default_factory=list)
    now: int = NOW
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer is None:
            self.now += round(request.timeout * 1_000)
            raise TimeoutError("timed out")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def put(self, data: bytes) -> str:
        self.blobs["blob"] = data
        return "blob"

    def get(self, name: str) -> bytes:
        return self.blobs[name]

    @property
    def runtime(self) -> LambdaSteps:
        client = Client(
            region="eu-west-1", credentials=lambda: Credentials("A", "S"), environment={}, transport=self,
            sleep=self.sleep, draw=lambda: 1.0,
        )  # fmt: skip
        return LambdaSteps(places(client, SETTINGS, self, lambda: self.now))

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1_000)

    def beside(self, number: int = 0) -> dict[str, Any]:
        text = base64.b64decode(self.requests[number].headers["x-amz-client-context"])
        said: dict[str, Any] = json.loads(text)["custom"]["tidemill"]
        return said


def task(arn: str | None = None, timeout: int | None = None, **given: Any) -> Task:
    step = StepSpec(Node("crm"), Lambda(arn), path=None if arn else "crm", timeout=timeout)
    ctx = {"function_id": "signup", "run_id": "r1", "step_id": "crm", "attempt": 2}
    return Task("signup", "r1", 2, step, ".", {"event": {"name": "a"}, "steps": {}, "ctx": ctx, **given})


def answer(value: Any, **headers: str) -> Reply:
    return Reply(200, headers, json.dumps(value).encode())


def failed(value: Any) -> Reply:
    return Reply(200, {"x-amz-function-error": "Unhandled"}, json.dumps(value).encode())


def refused(status: int, code: str) -> Reply:
    return Reply(status, {"x-amzn-errortype": code}, b'{"message": "no"}')


def failure(run: Callable[[], Any]) -> Any:
    with pytest.raises(TaskFailed) as told:
        run()
    return told.value.failure


def test_an_own_lambda_is_given_the_input_as_its_event() -> None:
    aws = Aws([answer({"ok": True})])
    assert aws.runtime(task()) == {"ok": True}
    (request,) = aws.requests
    name = step_name("prod", "signup", "crm")
    assert (request.method, unquote(request.target)) == ("POST", f"/2015-03-31/functions/{name}/invocations")
    assert json.loads(request.body) == task().input
    assert "x-amz-invocation-type" not in request.headers
    assert aws.beside() == {
        "queue": SETTINGS.queue_url("signup"), "bucket": "bucket", "run_id": "r1", "step_id": "crm", "attempt": 2,
        "given": None, "late_at": NOW + LATE,
    }  # fmt: skip


def test_one_that_takes_long_is_left_after_the_moment_it_knows_of() -> None:
    aws = Aws([None])
    assert aws.runtime(task(timeout=60_000)) == Handed(NOW + 90_000)
    assert len(aws.requests) == 1  # it goes on: it is not to be begun twice
    assert aws.now >= aws.beside()["late_at"] + 1_000
    assert aws.now - NOW <= 4_500
    assert Aws([None]).runtime(task()) == Handed(NOW + LONGEST + 30_000)


def test_what_it_has_sent_to_the_queue_is_waited_for() -> None:
    assert isinstance(Aws([answer(ELSEWHERE)]).runtime(task()), Handed)


def test_a_function_error_is_its_failure() -> None:
    error = {"errorMessage": "no plan", "errorType": "KeyError", "stackTrace": ["  File a\n", "  File b\n"]}
    found = failure(lambda: Aws([failed(error)]).runtime(task()))
    assert (found.type, found.message, found.retriable) == ("KeyError", "no plan", True)
    assert found.stack == "  File a\n  File b\n"
    late = {"errorMessage": "2026-11-28T10:00:00Z 1234 Task timed out after 3.00 seconds"}
    assert failure(lambda: Aws([failed(late)]).runtime(task())).type == "StepTimeoutError"
    dead = Reply(200, {"x-amz-function-error": "Unhandled"}, b"died")
    assert failure(lambda: Aws([dead]).runtime(task())).message == "died"


def test_a_status_that_says_failed_is_one() -> None:
    found = failure(lambda: Aws([answer({"statusCode": 422, "body": "no such plan"})]).runtime(task()))
    assert (found.type, found.retriable) == ("StatusError", False)
    busy = answer({"status": 429, "headers": {"Retry-After": "7"}})
    found = failure(lambda: Aws([busy]).runtime(task()))
    assert (found.retriable, found.retry_after) == (True, NOW + 7_000)


def test_throttling_is_waited_out_and_the_moment_moves_with_it() -> None:
    aws = Aws([refused(429, "TooManyRequestsException"), refused(500, "ServiceException"), answer(1)])
    assert aws.runtime(task()) == 1
    assert aws.beside(2)["late_at"] > aws.beside(0)["late_at"]


def test_throttling_that_does_not_end_may_be_tried_again_later() -> None:
    with pytest.raises(Unavailable):
        Aws([refused(429, "TooManyRequestsException")]).runtime(task())


def test_a_connection_that_breaks_is_no_answer_that_is_late() -> None:
    aws = Aws([ConnectionResetError("reset"), TimeoutError("while connecting"), answer("well")])
    assert aws.runtime(task()) == "well"


def test_a_lambda_that_is_not_there_is_a_failure_that_names_it() -> None:
    found = failure(lambda: Aws([refused(404, "ResourceNotFoundException")]).runtime(task()))
    assert (found.type, found.retriable) == ("ResourceNotFoundException", True)
    assert "'crm'" in found.message


def test_large_input_goes_by_the_bucket() -> None:
    aws = Aws([answer(1)])
    large = task(text="x" * ANSWER_BYTES)
    assert aws.runtime(large) == 1
    assert aws.requests[0].body == b"{}"
    assert aws.beside()["given"] == "blob"
    assert json.loads(aws.blobs["blob"]) == large.input


def test_a_lambda_of_others_with_a_short_timeout_is_waited_for() -> None:
    aws = Aws([answer([1])])
    assert aws.runtime(task(ARN, timeout=WAIT)) == [1]
    (request,) = aws.requests
    assert unquote(request.target) == f"/2015-03-31/functions/{ARN}/invocations"
    assert not {"x-amz-invocation-type", "x-amz-client-context"} & set(request.headers)
    assert request.timeout == 4.0


def test_a_lambda_of_others_that_takes_longer_than_it_may_has_failed() -> None:
    assert failure(lambda: Aws([None]).runtime(task(ARN, timeout=2_000))).type == "StepTimeoutError"


@pytest.mark.parametrize(("timeout", "until"), [(None, LONGEST), (60_000, 60_000)])
def test_another_is_begun_by_its_alias_and_lambda_tells_how_it_ended(timeout: int | None, until: int) -> None:
    aws = Aws([Reply(202, {}, b"")])
    assert aws.runtime(task(ARN, timeout=timeout)) == Handed(NOW + QUEUED + until + 30_000)
    (request,) = aws.requests
    alias = queue_name("prod", "signup")
    assert unquote(request.target) == f"/2015-03-31/functions/{ARN}:{alias}/invocations"
    assert request.headers["x-amz-invocation-type"] == "Event"
    assert json.loads(request.body)["ctx"] == {
        "function_id": "signup", "run_id": "r1", "step_id": "crm", "attempt": 2
    }  # fmt: skip


def test_input_that_a_lambda_of_others_would_not_take_is_refused() -> None:
    found = failure(lambda: Aws([answer(1)]).runtime(task(ARN, timeout=WAIT, text="x" * 7_000_000)))
    assert (found.type, found.retriable) == ("InputTooLarge", False)
    found = failure(lambda: Aws([refused(413, "RequestTooLargeException")]).runtime(task(ARN)))
    assert found.retriable is False


def test_a_steps_lambda_has_a_name_that_aws_takes() -> None:
    names = {step_name("prod", f, s) for f in ("a", "a_b", "x" * 128) for s in ("b", "b c", "ä" * 200, "b_c")}
    assert len(names) == 12
    for name in names:
        assert len(name) <= 64
        assert name.startswith("tidemill-prod_")
        assert all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in name)
