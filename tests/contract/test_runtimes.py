"""Every runtime meets the same suite: a new one is one more entry in KINDS, with the same programs (programs.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.programs import KINDS, LARGE, NOW, Kind

from tidemill.errors import TaskFailed
from tidemill.model import Failure


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    with KINDS[request.param](tmp_path) as kind:
        yield kind


def failure(kind: Kind, name: str, timeout: int | None = None) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        kind.runtime(kind.task(name, timeout=timeout))
    return caught.value.failure


def test_it_is_given_the_input_and_its_output_is_json(kind: Kind) -> None:
    given = {"event": {"data": {"name": "Zoë \n\0 👋"}}, "ctx": {"attempt": 1}, "list": [1, 2.5, None, True]}
    assert kind.value(kind.runtime(kind.task("echo", input=given))) == given


def test_a_second_attempt_is_like_the_first(kind: Kind) -> None:
    assert [kind.value(kind.runtime(kind.task("echo", input={"n": n}))) for n in range(3)] == [
        {"n": 0},
        {"n": 1},
        {"n": 2},
    ]


def test_an_output_that_is_no_json_is_text(kind: Kind) -> None:
    if not kind.texts:
        pytest.skip("its output is a value already")
    output = kind.runtime(kind.task("text"))
    assert output in ({"body": "plain text"}, {"status": 201, "body": "plain text"})


def test_a_failure_says_what_the_program_said_and_is_tried_again(kind: Kind) -> None:
    found = failure(kind, "fail")
    assert "out of paper" in found.message
    assert found.retriable
    assert found.type


def test_a_status_that_says_never_is_not_tried_again(kind: Kind) -> None:
    found = failure(kind, "refuse")
    assert not found.retriable
    assert "404" in found.message
    assert "press" in found.message


def test_a_status_that_says_later_is_tried_again_then(kind: Kind) -> None:
    found = failure(kind, "later")
    assert found.retriable
    assert found.retry_after == NOW + 7_000


def test_a_large_input_arrives(kind: Kind) -> None:
    given = {"text": "é" * 150_000}
    assert kind.value(kind.runtime(kind.task("echo", input=given))) == given


def test_a_large_output_is_kept(kind: Kind) -> None:
    assert kind.value(kind.runtime(kind.task("large"))) == "x" * LARGE


def test_it_is_stopped_when_its_time_is_up(kind: Kind) -> None:
    began = time.monotonic()
    found = failure(kind, "hang", timeout=300)
    assert found.type == "StepTimeoutError"
    assert found.retriable
    assert "0.3 s" in found.message
    assert time.monotonic() - began < 120


def test_what_it_says_beside_its_output_is_the_log(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    if not kind.logs:
        pytest.skip("a service keeps its own log")
    caplog.set_level(logging.INFO, "tidemill.steps")
    kind.runtime(kind.task("log"))
    assert ("tidemill.steps.shop.print.press", logging.INFO, "a line") in caplog.record_tuples
