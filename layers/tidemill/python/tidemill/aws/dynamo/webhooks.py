"""The webhooks of apps in DynamoDB: written when an app is deployed, read by the door for events.

    WEBHOOKS            <name>                    what an app declares of it, and which resources declare it

A process reads a webhook once a minute. That there is none it remembers for a few seconds only: from a deployment on,
nobody is to come in by the event key alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill.aws.dynamo.keys import PK, SK
from tidemill.aws.dynamo.table import Table
from tidemill.aws.secrets import Secret
from tidemill.limits import MINUTE, SECOND
from tidemill.model import WebhookSpec, lines_of
from tidemill.ports import Clock

_WEBHOOKS = "WEBHOOKS"
_FRESH, _ABSENT = MINUTE, 5 * SECOND
_REMEMBERED = 1_024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(WebhookSpec).decode


class Webhooks:
    """What is declared, as a process remembers it."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._known: dict[str, tuple[int, WebhookSpec | None]] = {}
        self._secrets: dict[str, Secret] = {}

    def get(self, name: str) -> WebhookSpec | None:
        now = self._clock.now()
        kept = self._known.get(name)
        if kept is None or now - kept[0] >= (_ABSENT if kept[1] is None else _FRESH):
            item = self._table.get(_WEBHOOKS, name, strong=False)
            kept = now, _decode(item["spec"]) if item is not None else None
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[name] = kept
        return kept[1]

    def secrets(self, webhook: WebhookSpec, *, fresh: bool = False) -> Sequence[str]:
        """Of the current value of its secret, and the one before."""
        secret = self._secrets.get(webhook.secret)
        if secret is None:
            secret = self._secrets[webhook.secret] = Secret(self._table.client, webhook.secret, self._clock.now)
        return [line for value in secret.values(fresh) for line in lines_of(value)]


def register(table: Table, webhook: WebhookSpec, owner: str) -> None:
    """Write what an app declares. `owner`: the resource of a stack that declares it. Harmless to do twice."""
    item = table.get(_WEBHOOKS, webhook.name)
    owners: frozenset[str] = item["owners"] if item is not None else frozenset()
    table.put({PK: _WEBHOOKS, SK: webhook.name, "spec": _encode(webhook).decode(), "owners": owners | {owner}})


def unregister(table: Table, name: str, owner: str) -> None:
    """This resource declares the webhook no longer; where no other does either, it is gone. Harmless to do twice."""
    item = table.get(_WEBHOOKS, name)
    if item is None or owner not in item["owners"]:
        return
    others = item["owners"] - {owner}
    if others:
        table.put({**item, "owners": others})
    else:
        table.delete(_WEBHOOKS, name)
