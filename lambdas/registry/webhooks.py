"""The custom resource `Custom::TidemillWebhook`: a webhook that an app declares, as the door for events knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tidemill.aws.dynamo.table import Table
from tidemill.aws.dynamo.webhooks import register, unregister
from tidemill.model import WebhookSpec
from tidemill_lambdas.registry.refused import SAME, Refused

TYPE = "Custom::TidemillWebhook"
_PREFIX = "webhook/"  # of its physical id

_spec = msgspec.json.Decoder(WebhookSpec)


def handle(event: Mapping[str, Any], table: Table, owner: str) -> str:
    """Do what CloudFormation asks. The resource's physical id. Raises Refused."""
    if event["RequestType"] == "Delete":
        physical = str(event["PhysicalResourceId"])
        if physical.startswith(_PREFIX):  # else it never came into being
            unregister(table, physical.removeprefix(_PREFIX), owner)
        return physical
    try:
        webhook = _spec.decode(event["ResourceProperties"]["Webhook"])
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise Refused(f"the property Webhook is not what an app declares ({error}): {SAME}") from None
    register(table, webhook, owner)
    return _PREFIX + webhook.name
