"""The Lambda behind `/e` and `/w`: checks, stamps and publishes events. It stores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws.world import world
from tidemill_lambdas import ingest
from tidemill_lambdas.keys.stored import event_keys
from tidemill_lambdas.observe import observed, rejected


@observed
def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    return ingest.handle(event, world(), event_keys(), ingest.publish, rejected)
