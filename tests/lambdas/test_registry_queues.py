"""A function's queues are made where they are missing, and kept where they hold something."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidemill.aws.calls.client import AwsError, Client
from tidemill.errors import Unavailable
from tidemill_lambdas.registry import handle
from tidemill_lambdas.registry.queues import Queues, make
from tidemill_lambdas.registry.refused import Refused
from tidemill_local.testing import moto

STACKS = {
    name: f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{name}/0001" for name in ("Shop", "Mill", "Other")
}
FUNCTION = json.dumps({"id": "shop.pay", "app": "shop", "name": "pay", "triggers": []})


class Account:
    """A table and queues in moto; what stacks ask of the registry."""

    def __init__(self) -> None:
        self.table = moto.fresh_table("registry")
        self.client: Client = self.table.client
        self.name = moto.fresh("q")
        self.keep = "true"

    def ask(self, kind: str, stack: str = "Shop", timeout: str = "75", **fields: Any) -> None:
        queues = {
            "Name": self.name,
            "DeadName": f"{self.name}-dead",
            "Attributes": {"VisibilityTimeout": timeout},
            "DeadAttributes": {"MessageRetentionPeriod": "1209600"},
            "Keep": self.keep,
        }
        properties = {"Function": FUNCTION, "Queues": queues}
        event = {
            "RequestType": kind, "StackId": STACKS[stack], "LogicalResourceId": "Pay", "ResourceProperties": properties,
            **({"PhysicalResourceId": "shop.pay"} if kind != "Create" else {}), **fields,
        }  # fmt: skip
        handle(event, self.table, 1)

    def url(self, dead: bool = False) -> str | None:
        try:
            asked = {"QueueName": self.name + ("-dead" if dead else "")}
            return str(self.client.call("sqs", "GetQueueUrl", asked)["QueueUrl"])
        except AwsError:
            return None

    def send(self, text: str, dead: bool = False) -> None:
        attributes = {"reason": {"DataType": "String", "StringValue": "a test"}}
        sent = {"QueueUrl": self.url(dead), "MessageBody": text, "MessageAttributes": attributes}
        self.client.call("sqs", "SendMessage", sent)

    def found(self, dead: bool = False) -> list[str]:
        """All messages, once."""
        asked = {"QueueUrl": self.url(dead), "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}
        bodies: list[str] = []
        while messages := self.client.call("sqs", "ReceiveMessage", {**asked, "MessageAttributeNames": ["All"]}).get(
            "Messages"
        ):
            assert all("reason" in each["MessageAttributes"] for each in messages)
            bodies += [each["Body"] for each in messages]
        return sorted(bodies)

    def attribute(self, name: str) -> str:
        asked = {"QueueUrl": self.url(), "AttributeNames": [name]}
        return str(self.client.call("sqs", "GetQueueAttributes", asked)["Attributes"][name])


@pytest.fixture
def account() -> Account:
    return Account()


def test_queues_are_made_once_and_follow_their_declaration(account: Account) -> None:
    account.ask("Create")
    account.send("waits")
    account.ask("Create")
    assert account.attribute("VisibilityTimeout") == "75"
    account.ask("Update", timeout="135")
    assert account.attribute("VisibilityTimeout") == "135"
    assert account.found() == ["waits"]


def test_a_function_that_comes_back_finds_its_dead_letters_and_what_waited(account: Account) -> None:
    account.ask("Create")
    account.send("dead before", dead=True)
    for number in range(25):
        account.send(f"waits {number:02d}")
    account.ask("Delete")
    assert account.url() is None
    account.ask("Delete")  # asked twice
    account.ask("Create")
    assert account.url() is not None
    assert account.found(dead=True) == ["dead before", *(f"waits {number:02d}" for number in range(25))]


@pytest.mark.parametrize("order", ["first the new stack", "first the old stack"])
def test_a_function_moves_to_another_stack(account: Account, order: str) -> None:
    account.ask("Create", "Mill")
    account.send("dead", dead=True)
    steps = [("Create", "Other"), ("Delete", "Mill")]
    for kind, stack in steps if order == "first the new stack" else reversed(steps):
        account.ask(kind, stack)
    assert account.url() is not None
    assert account.found(dead=True) == ["dead"]


def test_a_deployment_that_is_rolled_back_leaves_the_queues_of_the_old_one(account: Account) -> None:
    account.ask("Create", "Mill")
    account.send("waits")
    account.ask("Create", "Other")
    account.ask("Delete", "Other")
    account.ask("Delete", "Other", PhysicalResourceId="none")  # it never came into being
    assert account.found() == ["waits"]


def test_nothing_is_kept_where_nothing_is_to_be(account: Account) -> None:
    account.keep = "false"
    account.ask("Create")
    account.send("waits")
    account.ask("Delete")
    assert (account.url(), account.url(dead=True)) == (None, None)


class JustDeleted:
    """SQS, which keeps a name for a while after a queue of it was deleted."""

    def __init__(self, client: Client, refusals: int) -> None:
        self._client, self.refusals = client, refusals

    def call(self, service: str, operation: str, body: dict[str, Any]) -> Any:
        if operation == "CreateQueue" and self.refusals:
            self.refusals -= 1
            raise AwsError("sqs", operation, "AWS.SimpleQueueService.QueueDeletedRecently", "wait", 400)
        return self._client.call(service, operation, body)


def test_a_name_that_was_deleted_a_moment_ago_is_waited_for(account: Account) -> None:
    slept: list[float] = []
    wanted = Queues(account.name, f"{account.name}-dead", {}, {})
    make(JustDeleted(account.client, 12), wanted, slept.append)  # type: ignore[arg-type]
    assert sum(slept) == 60
    assert account.url() is not None
    with pytest.raises(Unavailable, match="a minute after"):
        make(JustDeleted(moto.client(), 99), Queues("other", "other-dead", {}, {}), slept.append)  # type: ignore[arg-type]


def test_queues_that_are_none_are_refused_in_a_sentence(account: Account) -> None:
    properties = {"Function": FUNCTION, "Queues": {"Name": "a"}}
    event = {"RequestType": "Create", "StackId": STACKS["Shop"], "LogicalResourceId": "Pay"}
    with pytest.raises(Refused, match="deploy with the constructs of the same version"):
        handle({**event, "ResourceProperties": properties}, account.table, 1)
