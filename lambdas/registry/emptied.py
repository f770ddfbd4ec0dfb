"""A function leaves the stack, and its queue is deleted: the events in it become runs, which are held.

What is no event, or comes later, is kept among the dead letters (see `queues`). So what was on its way is in the table
when the queue goes, and goes on when the function is declared again.
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
    """How many events became runs, as long as `more()` says; and what went wrong."""
    url = settings.queue_url(spec.id)
    rescued = 0
    try:
        while more() and (found := letters(client, url)):
            rescued += sum(take(world, client, url, spec, each) for each in found)
    except (AwsError, Unavailable) as error:
        return rescued, str(error)
    return rescued, None
