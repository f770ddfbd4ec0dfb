"""`app.send` in a Lambda of the deployment: publishes directly to its bus, without an event key or the HTTP API."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from tidemill.aws.world import world
from tidemill.engine.intake.fit import fitting
from tidemill.errors import ApiError, Unavailable
from tidemill.ids import ulid
from tidemill.model import Event


def publish(events: Sequence[dict[str, Any]]) -> list[str]:
    """Publish events that `payload.plain_events` has checked; their ids. Raises ApiError, and EventError where data
    does not fit its schema."""
    now = time.time_ns() // 1_000_000
    made = [
        Event(
            event.get("id") or ulid(now, os.urandom(10)),
            event["name"],
            event["data"],
            event.get("ts", now),
            now,
            event.get("user"),
            event.get("v"),
        )
        for event in events
    ]
    try:
        made = fitting(world().registry, made)
        world().bus.publish(made)
    except Unavailable as error:
        raise ApiError(503, f"the bus did not take the events: {error}; send them again with the same ids") from None
    return [event.id for event in made]
