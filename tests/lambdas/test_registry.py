"""The custom resource that registers functions: what it is asked, what is declared then, what is answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from support.doubles import Clock

from tidemill.aws.dynamo import held
from tidemill.aws.dynamo.registry import DynamoRegistry
from tidemill.aws.dynamo.table import Table
from tidemill.aws.settings import Settings, queue_name
from tidemill.aws.world import build
from tidemill.engine.intake.start import begin
from tidemill.errors import Unavailable
from tidemill.limits import DAY, MINUTE, RECHECK
from tidemill.model import Event, EventTrigger, FunctionSpec
from tidemill_lambdas.registry import entry, handle
from tidemill_lambdas.registry.answer import send
from tidemill_lambdas.registry.emptied import emptied
from tidemill_lambdas.registry.refused import Refused
from tidemill_lambdas.sweeper.sweep import sweep
from tidemill_local.testing import moto

NOW = 1_790_000_000_000
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/Shop/0001"


def spec(id: str, *names: str) -> FunctionSpec:
    return FunctionSpec(id, "shop", id, tuple(EventTrigger(name) for name in names))


def asked(kind: str, declared: FunctionSpec | str | None = None, **fields: Any) -> dict[str, Any]:
    text = msgspec.json.encode(declared).decode() if isinstance(declared, FunctionSpec) else declared
    properties = {"ServiceToken": "arn", **({"Function": text} if text is not None else {})}
    return {
        "RequestType": kind, "StackId": STACK, "RequestId": "q1", "LogicalResourceId": "Pay",
        "ResourceProperties": properties, **fields,
    }  # fmt: skip


@pytest.fixture
def table() -> Table:
    return moto.fresh_table("registry")


def ids(table: Table) -> list[str]:
    return [each.id for each in DynamoRegistry(table).functions()]


def listening(table: Table, name: str) -> list[str]:
    return [each.id for each in DynamoRegistry(table).listeners(name)]


def test_a_function_is_registered_changed_and_removed(table: Table) -> None:
    assert handle(asked("Create", spec("shop.pay", "a", "b*")), table, NOW) == "shop.pay"
    assert handle(asked("Create", spec("shop.pay", "a", "b*")), table, NOW) == "shop.pay"
    assert (listening(table, "a"), listening(table, "bc")) == (["shop.pay"], ["shop.pay"])
    changed = asked("Update", spec("shop.pay", "c"), PhysicalResourceId="shop.pay")
    assert handle(changed, table, NOW) == "shop.pay"
    assert (listening(table, "a"), listening(table, "bc"), listening(table, "c")) == ([], [], ["shop.pay"])
    gone = asked("Delete", spec("shop.pay", "c"), PhysicalResourceId="shop.pay")
    for _ in range(2):
        assert handle(gone, table, NOW) == "shop.pay"
        assert ids(table) == []
        assert listening(table, "c") == []
    assert list(table.query("LISTENS*")) == []


def test_a_function_with_a_new_id_leaves_nothing_under_its_old_one(table: Table) -> None:
    handle(asked("Create", spec("shop.pay", "a")), table, NOW)
    update = asked("Update", spec("shop.charge", "a"), PhysicalResourceId="shop.pay")
    assert handle(update, table, NOW) == "shop.charge"
    assert ids(table) == ["shop.charge", "shop.pay"]
    handle(asked("Delete", spec("shop.pay", "a"), PhysicalResourceId="shop.pay"), table, NOW)
    assert ids(table) == ["shop.charge"]
    assert listening(table, "a") == ["shop.charge"]


def test_a_deployment_that_is_rolled_back_leaves_the_function_to_its_old_resource(table: Table) -> None:
    handle(asked("Create", spec("shop.pay", "a")), table, NOW)
    handle(asked("Create", spec("shop.pay", "a"), LogicalResourceId="Moved"), table, NOW)
    handle(asked("Delete", PhysicalResourceId="shop.pay", LogicalResourceId="Moved"), table, NOW)
    assert ids(table) == ["shop.pay"]
    handle(asked("Delete", PhysicalResourceId="shop.pay"), table, NOW)
    assert ids(table) == []


def test_nobody_removes_what_is_not_theirs(table: Table) -> None:
    handle(asked("Create", spec("shop.pay")), table, NOW)
    handle(asked("Delete", PhysicalResourceId="shop.pay", StackId=STACK.replace("Shop", "Other")), table, NOW)
    handle(asked("Delete", PhysicalResourceId="none"), table, NOW)
    assert ids(table) == ["shop.pay"]
    made_again = asked("Create", spec("shop.pay"), StackId=STACK.replace("0001", "0002"))
    handle(made_again, table, NOW)
    handle({**made_again, "RequestType": "Delete", "PhysicalResourceId": "shop.pay"}, table, NOW)
    assert ids(table) == []


@pytest.mark.parametrize("text", [None, "{", "[]", '{"id": "a"}', '{"id": "", "app": "a", "name": "a"}'])
def test_what_no_function_declares_is_refused(table: Table, text: str | None) -> None:
    with pytest.raises(Refused, match=r"constructs of the same version of tidemill|must not be empty"):
        handle(asked("Create", text), table, NOW)
    assert ids(table) == []


class Answers(ThreadingHTTPServer):
    """Takes what CloudFormation would, after it has refused the first few."""

    def __init__(self, refuse: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.refuse = refuse
        self.taken: list[tuple[str, str | None, dict[str, Any]]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/stack?sign=a%3Db"


class _Take(BaseHTTPRequestHandler):
    server: Answers

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.refuse -= 1
        if self.server.refuse < 0:
            self.server.taken.append((self.path, self.headers["content-type"], body))
        self.send_response(200 if self.server.refuse < 0 else 503)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_cloudformation_is_told(answers: Answers) -> None:
    send(asked("Create", ResponseURL=answers.url), "shop.pay")
    send(asked("Create", ResponseURL=answers.url), "none", "x" * 5_000)
    same = {"StackId": STACK, "RequestId": "q1", "LogicalResourceId": "Pay"}
    path = "/stack?sign=a%3Db"
    done = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": "shop.pay", **same}
    failed = {"Status": "FAILED", "Reason": "x" * 1_024, "PhysicalResourceId": "none", **same}
    assert answers.taken == [(path, "", done), (path, "", failed)]


def test_cloudformation_is_told_again_where_it_did_not_hear(answers: Answers) -> None:
    answers.refuse = 3
    pauses: list[float] = []
    send(asked("Create", ResponseURL=answers.url), "shop.pay", sleep=pauses.append)
    assert len(answers.taken) == 1
    assert pauses == [1, 2, 4]
    answers.refuse = 4
    with pytest.raises(Unavailable, match="did not take the answer for Pay in 4 attempts"):
        send(asked("Create", ResponseURL=answers.url), "shop.pay", sleep=pauses.append)


def test_the_lambda_answers_whatever_happens(
    table: Table, answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "client", lambda: table.client)
    monkeypatch.setenv("TIDEMILL_TABLE", table.name)
    entry.handler(asked("Create", spec("shop.pay"), ResponseURL=answers.url), None)
    assert ids(table) == ["shop.pay"]
    entry.handler(asked("Update", "{", ResponseURL=answers.url, PhysicalResourceId="shop.pay"), None)
    monkeypatch.setenv("TIDEMILL_TABLE", "no-such-table")
    entry.handler(asked("Create", spec("shop.ship"), ResponseURL=answers.url), None)
    told = [(body["Status"], body["PhysicalResourceId"], body["Reason"]) for _, _, body in answers.taken]
    assert told[0] == ("SUCCESS", "shop.pay", "")
    assert told[1][:2] == ("FAILED", "shop.pay")
    assert "deploy with the constructs of the same version" in told[1][2]
    assert told[2][:2] == ("FAILED", "none")
    assert "ResourceNotFoundException" in told[2][2]
    assert answers.url not in capsys.readouterr().out


class Left:
    """A deployment with one function, whose queue holds what nobody has worked off."""

    def __init__(self, table: Table) -> None:
        self.client = table.client
        name = moto.fresh("left").replace("-", "")
        queue = queue_name(name, "shop.pay")
        self.url = moto.create_queue(self.client, queue)
        moto.create_bucket(self.client, name)
        queues = self.url.removesuffix(queue)
        self.settings = Settings(name, table.name, name, "bus", queues, "arn:timers", "group", "arn:role")
        self.world = build(self.client, self.settings)

    def put(self, body: object) -> None:
        self.client.call("sqs", "SendMessage", {"QueueUrl": self.url, "MessageBody": json.dumps(body)})

    def rescued(self, declared: FunctionSpec) -> tuple[int, str | None]:
        return emptied(self.world, self.client, self.settings, declared, lambda: True)


def start(event_id: str, name: str = "paid") -> dict[str, Any]:
    detail = {"id": event_id, "name": name, "data": {}, "ts": 1, "received_at": NOW}
    return {"source": "tidemill", "detail-type": name, "detail": detail}


def test_what_is_in_the_queue_of_a_function_that_leaves_becomes_runs(table: Table) -> None:
    here, pay = Left(table), spec("shop.pay", "paid")
    for number in range(12):
        here.put(start(f"e{number}"))
    here.put(start("x", "seen"))  # none of the function's
    found: list[tuple[int, str | None]] = []
    handle(asked("Create", pay), table, NOW)
    handle(
        asked("Delete", pay, PhysicalResourceId="shop.pay"), table, NOW, lambda last: found.append(here.rescued(last))
    )
    assert found == [(12, None)]
    for number in range(12):
        (head,) = here.world.runs.of_event(f"e{number}")
        assert (head.function_id, head.status) == ("shop.pay", "scheduled")
        assert head.due is not None


def test_a_queue_that_is_gone_already_keeps_no_stack_from_its_end(table: Table) -> None:
    here = Left(table)
    here.client.call("sqs", "DeleteQueue", {"QueueUrl": here.url})
    rescued, problem = here.rescued(spec("shop.pay", "paid"))
    assert rescued == 0
    assert problem is not None


def test_a_function_that_another_resource_declares_too_does_not_leave(table: Table) -> None:
    pay = spec("shop.pay", "paid")
    handle(asked("Create", pay), table, NOW)
    handle(asked("Create", pay, LogicalResourceId="Moved"), table, NOW)
    left: list[FunctionSpec] = []
    handle(asked("Delete", pay, PhysicalResourceId="shop.pay"), table, NOW, left.append)
    assert left == []
    handle(asked("Delete", pay, PhysicalResourceId="shop.pay", LogicalResourceId="Moved"), table, NOW, left.append)
    assert [each.id for each in left] == ["shop.pay"]


def test_a_run_whose_function_is_gone_is_held_with_its_reason_and_due_when_it_is_back(
    table: Table, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, pay = Left(table), spec("shop.pay", "paid")
    handle(asked("Create", pay), table, NOW)
    run_id = begin(here.world, pay, Event("e1", "paid", {}, NOW, NOW)).began
    assert run_id is not None
    now = here.world.clock.now()
    far = now + 30 * DAY
    here.world.runs.redue(run_id, here.world.runs.head(run_id).due, far, None)  # it waits for a signal, for a month
    handle(asked("Delete", pay, PhysicalResourceId="shop.pay"), table, NOW)
    here.client.call("sqs", "DeleteQueue", {"QueueUrl": here.url})

    here.world.queue.wake(run_id, "shop.pay")  # the signal came, and there is nobody to tell
    due = here.world.runs.head(run_id).due
    assert now <= due <= here.world.clock.now()

    later = replace(build(here.client, here.settings), clock=Clock(now + MINUTE))  # the sweep's own process
    assert sweep(later, lambda: True, partial(held.note, table)) == (1, [])
    head = here.world.runs.head(run_id)
    assert head.reason == "function shop.pay is not declared at present"
    assert head.due == now + MINUTE + RECHECK

    monkeypatch.setattr(entry, "client", lambda: table.client)
    monkeypatch.setenv("TIDEMILL_TABLE", table.name)
    entry.handler(asked("Create", pay, ResponseURL=answers.url), None)
    head = here.world.runs.head(run_id)
    assert head.due <= here.world.clock.now()
    assert head.reason is None
    assert list(table.query("HELD#shop.pay")) == []
