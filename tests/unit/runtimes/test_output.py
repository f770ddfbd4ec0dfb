"""The rules for outputs that all runtimes share."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from contract.programs import NOW, task_of

from tidemill.core.definition import Docker
from tidemill.errors import TaskFailed
from tidemill.runtimes.output import LOG_BYTES, Bounded, StepLog, Streams, checked, exited, printed, retry_after

TASK = task_of(Docker(), "press", Path())


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (b'{"a": 1}\n', {"a": 1}),
        (b" [1, null] ", [1, None]),
        (b'"text"', "text"),
        (b"17", 17),
        (b"", {"body": ""}),
        (b"NaN", {"body": "NaN"}),
        (b"{a: 1}", {"body": "{a: 1}"}),
        (b"1\n2\n", {"body": "1\n2\n"}),
        (b"\xff\n", {"body": "\ufffd\n"}),
        (b'"\xff"', {"body": '"\ufffd"'}),
        (b"[" * 5_000 + b"]" * 5_000, {"body": "[" * 5_000 + "]" * 5_000}),
        (b"[" * 102 + b"]" * 102, {"body": "[" * 102 + "]" * 102}),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, {"body": '{"a":' * 5_000 + "1" + "}" * 5_000}),
    ],
)
def test_what_is_printed_is_json_or_text(text: bytes, output: object) -> None:
    assert printed(text) == output


@pytest.mark.parametrize("output", [None, 500, [500], {"status": 200}, {"status": "failed"}, {"status": True}, {}])
def test_what_is_no_failure(output: object) -> None:
    assert checked(TASK, output, NOW) == output


@pytest.mark.parametrize(
    ("status", "retriable"),
    [
        (400, False),
        (404, False),
        (422, False),
        (408, True),
        (409, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_a_status_is_a_failure_and_some_are_never_tried_again(status: int, retriable: bool) -> None:
    for name in ("status", "statusCode"):
        with pytest.raises(TaskFailed) as caught:
            checked(TASK, {name: status}, NOW)
        assert caught.value.failure.retriable is retriable
        assert str(status) in caught.value.failure.message


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("120", NOW + 120_000),
        ("0", NOW),
        (" 5 ", NOW + 5_000),
        ("Mon, 21 Sep 2026 14:14:20 GMT", NOW + 60_000),
        ("Mon, 21 Sep 2020 13:34:20 GMT", NOW),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, at: int | None) -> None:
    assert retry_after(value, NOW) == at


def test_output_is_bounded() -> None:
    out = Bounded(5)
    assert out.take(b"abc")
    assert out.bytes() == b"abc"
    assert not out.take(b"def")


@pytest.mark.parametrize(
    ("out", "type", "retriable", "after"),
    [
        (b"", "ExitError", True, None),
        (b"half a line", "ExitError", True, None),
        (b'{"status": 200}', "ExitError", True, None),
        (b'{"status": 422}', "StatusError", False, None),
        (b'{"statusCode": 404}', "StatusError", False, None),
        (b'{"status": 503}', "StatusError", True, None),
        (b'{"status": 429, "headers": {"retry-after": "7"}}', "StatusError", True, NOW + 7_000),
    ],
)
def test_a_status_decides_whatever_the_exit_code(out: bytes, type: str, retriable: bool, after: int | None) -> None:
    streams = Streams(Bounded(), StepLog(TASK))
    streams.out.take(out)
    failure = exited(TASK, "its process ended with exit code 3", streams, NOW).failure
    assert (failure.type, failure.retriable, failure.retry_after) == (type, retriable, after)
    assert "exit code 3" in failure.message


def test_what_a_step_says_is_bounded_and_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    log = StepLog(TASK)
    log.take(b"\x1b[2J\x1b]0;owned\x07red\rgreen\tblue \xc2\x9b31m\n")
    assert caplog.messages == ["\\x1b[2J\\x1b]0;owned\\x07red\\rgreen\tblue \\x9b31m"]
    caplog.clear()
    for _ in range(300):
        log.take(b"x" * 9_999 + b"\n")
    log.end()
    assert sum(map(len, caplog.messages)) < LOG_BYTES
    assert re.fullmatch(r"it said \d+ bytes more, which are not shown", caplog.messages[-1])
    assert log.last().endswith("x" * 100)
