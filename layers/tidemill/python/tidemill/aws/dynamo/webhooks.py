"""The webhooks of apps in DynamoDB: written when an app is deployed, read by the door for events.

    WEBHOOKS            <name>                    what an app declares of it, and which resources declare it

A process reads a webhook once a minute. That there is none it remembers for a few seconds only: from a deployment on,
nobody is to come in by the event key alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill.aws.dynamo.declarations import Memory, leave, owners
from tidemill.aws.dynamo.keys import PK, SK
from tidemill.aws.dynamo.table import Table
from tidemill.aws.secrets import Secret
from tidemill.limits import SECOND
from tidemill.model import WebhookSpec, lines_of
from tidemill.ports import Clock

_WEBHOOKS = "WEBHOOKS"
_ABSENT = 5 * SECOND
_REMEMBERED = 1_024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(WebhookSpec).decode


class Webhooks:
    """What is declared, as a process remembers it."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._known: Memory[WebhookSpec] = Memory(clock, _REMEMBERED, _ABSENT)
        self._secrets: dict[str, Secret] = {}

    def get(self, name: str) -> WebhookSpec | None:
        def read() -> WebhookSpec | None:
            item = self._table.get(_WEBHOOKS, name, strong=False)
            return _decode(item["spec"]) if item is not None else None

        return self._known.get(name, read)

    def secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:
        """Of the current value of its secret, and the one before."""
        secret = self._secrets.get(webhook.secret)
        if secret is None:
            secret = self._secrets[webhook.secret] = Secret(self._table.client, webhook.secret, self._clock.now)
        return [line for value in secret.values(fresh) for line in lines_of(value)]


def register(table: Table, webhook: WebhookSpec, owner: str) -> None:
    """Write what an app declares. `owner`: the resource of a stack that declares it. Harmless to do twice."""
    before = owners(table.get(_WEBHOOKS, webhook.name))
    table.put({PK: _WEBHOOKS, SK: webhook.name, "spec": _encode(webhook).decode(), "owners": before | {owner}})


def unregister(table: Table, name: str, owner: str) -> None:
    """This resource declares the webhook no longer; where no other does either, it is gone. Harmless to do twice."""
    item = table.get(_WEBHOOKS, name)
    if item is not None:
        leave(table, item, owner)
