"""The Lambda of the custom resource that registers functions; a deployment waits for its answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tidemill.aws.dynamo import held
from tidemill.aws.dynamo.registry import DynamoRegistry, declared
from tidemill.aws.dynamo.table import Table
from tidemill.aws.world import client, settings, world
from tidemill.engine.intake.serve_lines import changed
from tidemill.model import FunctionSpec
from tidemill_lambdas.observe import logger, observed
from tidemill_lambdas.registry import handle, physical_id, schemas, webhooks
from tidemill_lambdas.registry.answer import send
from tidemill_lambdas.registry.emptied import emptied
from tidemill_lambdas.registry.refused import Refused

_SECONDS = 30  # for a function's runs and events; the Lambda has 300, and needs the rest to save the queue


def _serve_lines(table: Table, before: FunctionSpec | None, more: Callable[[], bool]) -> None:
    """Serve the lines of limits that this deploy changes; the sweep serves the rest within the hour."""
    if before is None or declared(table, before.id) == before:
        return
    try:
        here = replace(world(), registry=DynamoRegistry(table))  # a new registry, without cached functions
        for _ in changed(here, [before]):
            if not more():
                break
    except Exception:
        logger.exception("the lines of %s were not served; each is within the hour", before.id)


@observed
def handler(event: Mapping[str, Any], _context: Any) -> None:
    table = Table(client(), os.environ["TIDEMILL_TABLE"])
    until = time.monotonic() + _SECONDS

    def more() -> bool:
        return time.monotonic() < until

    def leaving(spec: FunctionSpec) -> None:
        rescued, problem = emptied(world(), client(), settings(), spec, more)
        logger.info("%s is removed; events in its queue that became runs: %s", spec.id, rescued)
        if problem is not None:
            logger.error("events in the queue of %s may be lost: %s", spec.id, problem)

    try:
        now = time.time_ns() // 1_000_000
        before = declared(table, str(event.get("PhysicalResourceId")))
        name = handle(event, table, now, leaving)
        if event["RequestType"] != "Delete" and event.get("ResourceType") not in (schemas.TYPE, webhooks.TYPE):
            held.release(table, name, now, more)
            _serve_lines(table, before, more)
        send(event, name)
    except Refused as refused:
        send(event, physical_id(event), str(refused))
    except Exception as error:
        logger.exception("what a function declares was not written")
        send(event, physical_id(event), f"{type(error).__name__}: {error}; deploy again")
