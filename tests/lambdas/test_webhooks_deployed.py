"""Webhooks in AWS: registered by a deployment, read by the door for events, their secrets from Secrets Manager."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest
from support import http_api
from support.doubles import Clock

from tidemill.aws.dynamo.registry import DynamoRegistry
from tidemill.aws.dynamo.table import Table
from tidemill.aws.settings import Settings
from tidemill.limits import MINUTE
from tidemill.model import WebhookSpec
from tidemill_lambdas.registry import handle
from tidemill_lambdas.registry.refused import Refused
from tidemill_local.testing import moto

STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/Shop/0001"
GITHUB = WebhookSpec("github", "github", "arn")


@pytest.fixture
def table() -> Table:
    return moto.fresh_table("webhooks")


def asked(kind: str, webhook: WebhookSpec | str, logical: str = "Hook", **fields: Any) -> dict[str, Any]:
    text = webhook if isinstance(webhook, str) else msgspec.json.encode(webhook).decode()
    return {
        "RequestType": kind, "StackId": STACK, "RequestId": "q1", "LogicalResourceId": logical,
        "ResourceType": "Custom::TidemillWebhook",
        "ResourceProperties": {"ServiceToken": "arn", "Webhook": text}, **fields,
    }  # fmt: skip


def found(table: Table, name: str = "github") -> WebhookSpec | None:
    return DynamoRegistry(table).webhook(name)


def test_a_webhook_is_registered_changed_and_removed(table: Table) -> None:
    for _ in range(2):
        assert handle(asked("Create", GITHUB), table, 0) == "webhook/github"
    assert found(table) == GITHUB
    other = WebhookSpec("github", "stripe", "arn", user="body.who")
    assert handle(asked("Update", other, PhysicalResourceId="webhook/github"), table, 0) == "webhook/github"
    assert found(table) == other
    gone = asked("Delete", other, PhysicalResourceId="webhook/github")
    for _ in range(2):
        assert handle(gone, table, 0) == "webhook/github"
    assert found(table) is None


def test_a_webhook_that_moves_to_another_resource_stays(table: Table) -> None:
    handle(asked("Create", GITHUB), table, 0)
    handle(asked("Create", GITHUB, "Moved"), table, 0)
    handle(asked("Delete", GITHUB, PhysicalResourceId="webhook/github"), table, 0)
    assert found(table) == GITHUB


def test_what_is_no_webhook_is_refused_and_its_deletion_does_nothing(table: Table) -> None:
    for text in ("{", "{}", '{"name": "a", "scheme": "md5", "secret": "b"}'):
        with pytest.raises(Refused, match="deploy with the constructs of the same version"):
            handle(asked("Create", text), table, 0)
    assert handle(asked("Delete", "{", PhysicalResourceId="none"), table, 0) == "none"


def test_a_webhook_is_known_for_a_minute_and_its_absence_for_seconds(table: Table) -> None:
    clock = Clock()
    registry = DynamoRegistry(table, clock)
    assert registry.webhook("github") is None
    handle(asked("Create", GITHUB), table, 0)
    clock.ms += 5_000
    assert registry.webhook("github") == GITHUB
    handle(asked("Delete", GITHUB, PhysicalResourceId="webhook/github"), table, 0)
    clock.ms += MINUTE - 1
    assert registry.webhook("github") == GITHUB
    clock.ms += 1
    assert registry.webhook("github") is None


def test_the_current_secret_and_the_one_before_admit_and_a_new_one_at_once(table: Table) -> None:
    clock, client = Clock(), table.client
    arn = client.call("secretsmanager", "CreateSecret", {"Name": moto.fresh("secret"), "SecretString": "one\ntwo"})[
        "ARN"
    ]
    webhook = WebhookSpec("github", "github", arn)
    registry = DynamoRegistry(table, clock)
    assert registry.webhook_secrets(webhook) == ["one", "two"]
    client.call("secretsmanager", "PutSecretValue", {"SecretId": arn, "SecretString": "three"})
    assert registry.webhook_secrets(webhook) == ["one", "two"]
    clock.ms += 3_000
    assert registry.webhook_secrets(webhook, fresh=True) == ["three", "one", "two"]


def test_a_signed_delivery_is_published(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the handler of the Lambda, with all of its adapters."""
    from tidemill.aws import world
    from tidemill_lambdas.ingest import entry
    from tidemill_lambdas.keys import KeyRing

    client = table.client
    bus = moto.fresh("bus")
    client.call("events", "CreateEventBus", {"Name": bus})
    arn = client.call("secretsmanager", "CreateSecret", {"Name": moto.fresh("secret"), "SecretString": "s"})["ARN"]
    handle(asked("Create", WebhookSpec("github", "github", arn)), table, 0)
    queues = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
    settings = Settings("prod", table.name, moto.fresh("bucket"), bus, queues, "arn", "group", "role")
    monkeypatch.setattr(entry, "world", lambda: world.build(client, settings))
    monkeypatch.setattr(entry, "event_keys", lambda: KeyRing(("key",), ()))
    body = b'{"ref": "main"}'
    signature = "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": signature, "x-github-event": "push", "x-github-delivery": "d1"}

    class Context:
        aws_request_id = "q1"

    def deliver(given: dict[str, str]) -> tuple[int, Any]:
        request = http_api.event("POST", "/w/key/github", body, given)  # without a content type: base64
        assert request["isBase64Encoded"]
        status, _, text = http_api.answered(lambda asked: entry.handler(asked, Context()), request)
        return status, msgspec.json.decode(text)

    assert deliver(headers) == (200, {"ids": ["d1"], "status": 200})
    assert deliver({**headers, "x-hub-signature-256": signature[:-1] + "0"})[0] == 401
    assert deliver({})[0] == 401
