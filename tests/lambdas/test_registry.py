"""The custom resource that registers functions: what it is asked, what is declared then, what is answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from tidemill.aws.dynamo import Table
from tidemill.aws.registry import DynamoRegistry
from tidemill.errors import Unavailable
from tidemill.model import EventTrigger, FunctionSpec
from tidemill_lambdas.registry import Refused, entry, handle
from tidemill_lambdas.registry.answer import send
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
    table = Table(moto.client(), moto.fresh("registry"))
    moto.create_table(table.client, table.name)
    return table


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
