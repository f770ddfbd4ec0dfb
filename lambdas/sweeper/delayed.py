"""Sends a delayed message to the events queue for each delayed event that is due soon.

So a delayed event needs no schedule of its own, and is as punctual after months as after minutes. A message may be
lost: the event stays due, a while later, until it has been processed.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import AwsError
from tidemill.errors import Unavailable
from tidemill.limits import MINUTE
from tidemill.ports import World
from tidemill_lambdas import events

SOON = 3 * MINUTE  # sweeps come each minute, and one of them may fail
AGAIN = 5 * MINUTE  # after this long past its time, another message is sent
_PAGE = 100


def sweep(world: World, more: Callable[[], bool], delay: events.Delay) -> list[str]:
    """Send a message for each delayed event that is due soon, while `more()` is true. Returns the errors.

    It terminates: each turn sends for events that it has not seen before.
    """
    seen: set[str] = set()
    problems: list[str] = []
    while more():
        now = world.clock.now()
        found = [each for each in world.events.delayed(now + SOON, _PAGE) if each[0] not in seen]
        for event_id, due in found:
            seen.add(event_id)
            try:
                events.remind(event_id, due, now, delay)
                world.events.redue(event_id, max(due, now) + AGAIN)
            except (AwsError, Unavailable) as error:
                problems.append(f"event {event_id}: {error}")
        if not found:
            break
    return problems
