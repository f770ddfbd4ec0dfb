"""The logs of a run, read from CloudWatch Logs: what is asked, page by page, and what Lambda's own formatter wrote.

Neither moto nor the emulator filters JSON. The service here does, and is as strict as AWS: a body is held against
botocore's model, a token is good for one request alone and for 24 hours, a page may be empty and not the last.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest
from awslambdaric.lambda_runtime_log_utils import JsonFormatter
from botocore.validate import ParamValidator

from tidemill import App, Context
from tidemill.aws.calls.client import AwsError, Client, Credentials, Reply, Request
from tidemill.aws.run_logs import CloudWatchLogs
from tidemill.model import Head
from tidemill.run_logs import LogPage
from tidemill.testing import Mill

NOW = 1_790_000_000_000
HOUR = 3_600_000
HEAD = Head("01KQRUN", "shop.pay", "running", NOW, None)
GROUP = "Shop-Log-1A2B"
_model = botocore.session.get_session().get_service_model("logs").operation_model("FilterLogEvents")


@dataclass
class Service:
    """`scan`: events that one call looks at. `throttled`: so many calls are told to come later."""

    events: list[tuple[int, str]] = field(default_factory=list)
    scan: int = 10_000
    throttled: int = 0
    now: int = NOW
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply:
        assert (request.service, request.operation) == ("logs", "FilterLogEvents")
        asked = json.loads(request.body)
        report = ParamValidator().validate(asked, _model.input_shape)
        assert not report.has_errors(), report.generate_report()
        assert not set(asked) - set(_model.input_shape.members)
        self.calls.append(asked)
        if self.throttled:
            self.throttled -= 1
            return _refusal("ThrottlingException", "Rate exceeded")
        if asked["logGroupName"] != GROUP:
            return _refusal("ResourceNotFoundException", "The specified log group does not exist.")
        begin = self._begin(asked)
        if begin is None:
            return _refusal("InvalidParameterException", "The specified nextToken is invalid.")
        return self._page(asked, begin)

    def _begin(self, asked: dict[str, Any]) -> int | None:
        if "nextToken" not in asked:
            return 0
        made, place, rest = json.loads(asked["nextToken"])
        same = {name: value for name, value in asked.items() if name != "nextToken"} == rest
        return place if same and self.now - made < 24 * HOUR else None

    def _page(self, asked: dict[str, Any], begin: int) -> Reply:
        found: list[dict[str, Any]] = []
        place = begin
        while place < min(len(self.events), begin + self.scan) and len(found) < asked["limit"]:
            at, message = self.events[place]
            place += 1
            if asked["startTime"] <= at < asked.get("endTime", at + 1) and _matches(asked["filterPattern"], message):
                found.append({"timestamp": at, "message": message, "eventId": str(place)})
        answer: dict[str, Any] = {"events": found, "searchedLogStreams": []}
        if place < len(self.events):
            rest = {name: value for name, value in asked.items() if name != "nextToken"}
            answer["nextToken"] = json.dumps([self.now, place, rest])
        return Reply(200, {}, json.dumps(answer).encode())

    @property
    def logs(self) -> CloudWatchLogs:
        client = Client(
            region="eu-west-1", credentials=lambda: Credentials("AKID", "S", "token"), environment={}, transport=self,
            sleep=lambda _: None, clock=lambda: self.now / 1_000,
        )  # fmt: skip
        return CloudWatchLogs(client, {"shop.pay": GROUP, "shop.gone": "Gone"}.get)


def _refusal(code: str, message: str) -> Reply:
    return Reply(400, {}, json.dumps({"__type": code, "message": message}).encode())


def _matches(pattern: str, message: str) -> bool:
    inner = re.fullmatch(r"\{ (.*) \}", pattern)
    assert inner is not None
    terms = [re.fullmatch(r'\$\.(\w+) = "([^"]*)"', term) for term in inner[1].split(" && ")]
    try:
        line = json.loads(message)
    except ValueError:
        return False
    return isinstance(line, dict) and all(term is not None and line.get(term[1]) == term[2] for term in terms)


def line(message: str, **more: Any) -> str:
    about = {"run_id": "01KQRUN", "logger": "tidemill.shop.pay", "level": "INFO", "message": message, "attempt": 1}
    return json.dumps({**about, **more})


def messages(page: LogPage) -> list[str]:
    return [each.message for each in page.lines]


def test_only_the_lines_of_the_run() -> None:
    others = [line("other", run_id="01KQOTHER"), line("library", logger="httpx"), "START RequestId: 1", "[1]"]
    service = Service([(NOW + n, text) for n, text in enumerate([line("mine", step="charge"), *others])])
    page = service.logs.page(HEAD, 50, None)
    (only,) = page.lines
    assert (only.at, only.level, only.message, only.step, only.attempt) == (NOW, "info", "mine", "charge", 1)
    assert page.cursor is None
    assert service.calls[0]["startTime"] <= NOW
    assert "endTime" not in service.calls[0]


def test_an_ended_run_is_looked_for_where_it_was() -> None:
    service = Service([(NOW - HOUR, line("before")), (NOW, line("mine")), (NOW + 5 * HOUR, line("after"))])
    ended = Head("01KQRUN", "shop.pay", "completed", NOW, None, ended_at=NOW + HOUR)
    assert messages(service.logs.page(ended, 50, None)) == ["mine"]


def test_pages_and_empty_pages() -> None:
    noise = [(NOW, line("noise", run_id="x"))] * 7
    service = Service([*noise, (NOW, line("a")), (NOW, line("b")), (NOW, line("c")), *noise], scan=3)
    found: list[str] = []
    cursor = None
    for _ in range(10):
        page = service.logs.page(HEAD, 2, cursor)
        found += messages(page)
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ["a", "b", "c"]
    assert cursor is None
    assert all(call["limit"] == 2 for call in service.calls)


def test_a_scan_that_finds_nothing_is_bounded_and_goes_on_by_its_cursor() -> None:
    service = Service([(NOW, line("noise", run_id="x"))] * 50 + [(NOW, line("mine"))], scan=1)
    page = service.logs.page(HEAD, 50, None)
    assert (messages(page), len(service.calls)) == ([], 10)
    assert page.cursor is not None


def test_a_cursor_that_is_too_old_is_refused_by_a_sentence() -> None:
    service = Service([(NOW, line("a")), (NOW, line("b"))])
    cursor = service.logs.page(HEAD, 1, None).cursor
    service.now += 24 * HOUR
    with pytest.raises(LookupError, match="good for 24 hours"):
        service.logs.page(HEAD, 1, cursor)


def test_a_group_that_is_missing_or_unknown_holds_no_lines() -> None:
    service = Service([(NOW, line("a"))])
    for function_id in ("shop.gone", "legacy"):
        page = service.logs.page(Head("01KQRUN", function_id, "running", NOW, None), 50, None)
        assert (list(page.lines), page.cursor) == ([], None)


def test_throttling_is_waited_out() -> None:
    service = Service([(NOW, line("a"))], throttled=2)
    assert messages(service.logs.page(HEAD, 50, None)) == ["a"]


def test_a_refusal_of_another_kind_is_raised() -> None:
    def refuse(_: Request) -> Reply:
        return _refusal("AccessDeniedException", "no")

    client = Client(
        region="eu-west-1", credentials=lambda: Credentials("AKID", "S", "token"), environment={}, transport=refuse,
        sleep=lambda _: None, clock=lambda: NOW / 1_000,
    )  # fmt: skip
    with pytest.raises(AwsError, match="AccessDenied"):
        CloudWatchLogs(client, lambda _: GROUP).page(HEAD, 50, None)


def test_lines_as_lambda_writes_them_each_once(caplog: pytest.LogCaptureFixture) -> None:
    app = App("shop")

    @app.function(on="go")
    def pay(ctx: Context) -> None:
        ctx.logger.info("begin")
        ctx.step.run("charge", lambda: ctx.logger.warning("charging"))
        try:
            raise KeyError("lost")
        except KeyError:
            ctx.logger.exception("it failed")

    with Mill(app) as mill, caplog.at_level(logging.INFO, logger="tidemill"):
        run = mill.send("go").run()
    written = [(NOW + n, JsonFormatter().format(record)) for n, record in enumerate(caplog.records)]
    service = Service([*written, *written[:2]])  # after a crash the first two were said again
    page = service.logs.page(Head(run.id, "shop.pay", "completed", NOW, None), 50, None)
    assert [(each.level, each.step, each.attempt) for each in page.lines] == [
        ("info", None, 1),
        ("warning", "charge", 1),
        ("error", None, 1),
    ]
    assert messages(page)[:2] == ["begin", "charging"]
    assert messages(page)[2].startswith("it failed\n")
    assert messages(page)[2].endswith("KeyError: 'lost'")
