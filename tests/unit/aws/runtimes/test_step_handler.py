"""The wrapper of a step's Lambda: what is early is answered, what is late is told."""

from __future__ import annotations

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.aws.messages.step_results import read
from tidemill.aws.messages.types import StepFinished
from tidemill.aws.runtimes import step_handler as step
from tidemill.aws.runtimes.step_handler import ELSEWHERE, Reply, call

LATE_AT = 1_790_000_003_500
EARLY, LATE = LATE_AT, LATE_AT + 1
BESIDE = {
    "queue": "https://sqs/1/q", "bucket": "b", "run_id": "r1", "step_id": "crm", "attempt": 2, "late_at": LATE_AT,
    "given": None,
}  # fmt: skip


def context(beside: dict[str, Any] | None = None, **changed: Any) -> Any:
    custom = {"tidemill": {**(beside or BESIDE), **changed}}
    return SimpleNamespace(client_context=SimpleNamespace(custom=custom, client=None, env=None))


class Sent:
    def __init__(self) -> None:
        self.told: list[StepFinished] = []

    def __call__(self, reply: Reply, body: bytes) -> None:
        assert reply.queue == "https://sqs/1/q"
        found = read(body.decode())
        assert isinstance(found, StepFinished)
        self.told.append(found)


def test_without_an_executor_it_is_the_users_handler() -> None:
    sent = Sent()
    for nobody in (SimpleNamespace(client_context=None), SimpleNamespace(), context()):
        if getattr(nobody, "client_context", None) is not None:
            nobody.client_context.custom = {"app": "somebody's"}
        assert call(lambda event, _: event, {"a": object}, nobody, lambda: LATE, sent) == {"a": object}
    assert sent.told == []


def test_an_early_answer_is_given_and_nothing_is_told() -> None:
    sent = Sent()
    assert call(lambda event, _: {"was": event}, {"n": 1}, context(), lambda: EARLY, sent) == {"was": {"n": 1}}
    assert sent.told == []


def test_a_late_answer_is_told_too() -> None:
    sent = Sent()
    answer = call(lambda *_: {"total": Decimal("1.50"), "n": Decimal(2)}, {}, context(), lambda: LATE, sent)
    assert answer == {"total": Decimal("1.50"), "n": Decimal(2)}
    assert sent.told == [StepFinished("r1", "crm", 2, b'{"total":1.5,"n":2}')]


def test_a_late_failure_is_told_and_lambda_sees_it_too() -> None:
    sent = Sent()

    def fails(*_: Any) -> None:
        raise KeyError("plan")

    with pytest.raises(KeyError):
        call(fails, {}, context(), lambda: LATE, sent)
    (told,) = sent.told
    assert told.failure is not None
    assert (told.failure.type, told.failure.message, told.failure.retriable) == ("KeyError", "'plan'", True)
    assert "in fails" in told.failure.stack


def test_an_early_failure_is_lambdas_to_tell() -> None:
    sent = Sent()
    with pytest.raises(ZeroDivisionError):
        call(lambda *_: 1 // 0, {}, context(), lambda: EARLY, sent)
    assert sent.told == []


def test_what_is_no_json_is_a_failure() -> None:
    sent = Sent()
    with pytest.raises(TypeError, match="no JSON"):
        call(lambda *_: object(), {}, context(), lambda: LATE, sent)
    assert sent.told[0].failure is not None


class Bucket:
    """In place of S3."""

    kept: dict[str, bytes] = {}

    def __init__(self, client: Any, bucket: str, owner: str) -> None:
        assert (bucket, owner) == ("b", "1")

    def put(self, data: bytes) -> str:
        self.kept["blob"] = data
        return "blob"

    def get(self, name: str) -> bytes:
        return self.kept[name]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> type[Bucket]:
    monkeypatch.setattr("tidemill.aws.blobs.S3Blobs", Bucket)
    monkeypatch.setattr(step, "_client", lambda: None)
    return Bucket


def test_a_large_answer_goes_by_the_bucket(bucket: type[Bucket]) -> None:
    sent = Sent()
    large = "x" * (step.MESSAGE_BYTES + 1)
    assert call(lambda *_: large, {}, context(), lambda: LATE, sent) == large
    assert sent.told == [StepFinished("r1", "crm", 2, blob="blob")]
    assert json.loads(bucket.kept["blob"]) == large


def test_an_answer_that_lambda_would_not_take_is_told_though_it_is_early(bucket: type[Bucket]) -> None:
    sent = Sent()
    huge = "x" * step.ANSWER_BYTES
    assert call(lambda *_: huge, {}, context(), lambda: EARLY, sent) == ELSEWHERE
    assert sent.told == [StepFinished("r1", "crm", 2, blob="blob")]


def test_an_event_that_lambda_would_not_take_comes_by_the_bucket(bucket: type[Bucket]) -> None:
    bucket.kept["large"] = b'{"n": 7}'
    assert call(lambda event, _: event["n"], {}, context(given="large"), lambda: EARLY, Sent()) == 7


def test_the_handler_that_a_folder_brings() -> None:
    assert step.load("json.dumps") is json.dumps
    with pytest.raises(AttributeError):
        step.load("json.gone")
