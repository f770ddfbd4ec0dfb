"""Turns the events in the queue of a removed function into held runs, before the queue is deleted.

Other and later messages become dead letters (see `queues`). So the pending events are in the table when the queue is
deleted, and their runs continue when the function is declared again.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.settings import Settings
from tidemill.errors import Unavailable
from tidemill.model import FunctionSpec
from tidemill.ports import World
from tidemill_lambdas.sweeper.adopt import letters, take


def emptied(
    world: World, client: Client, settings: Settings, spec: FunctionSpec, more: Callable[[], bool]
) -> tuple[int, str | None]:
    """Empty the queue while `more()` is true. Returns how many events became runs, and the errors."""
    url = settings.queue_url(spec.id)
    rescued = 0
    try:
        while more() and (found := letters(client, url)):
            rescued += sum(take(world, client, url, spec, each) for each in found)
    except (AwsError, Unavailable) as error:
        return rescued, str(error)
    return rescued, None
