"""Events whose `ts` lies ahead when they are received: each takes effect at its `ts`, and nothing of it before.

Such an event is stored at once, among the events that are awaited in the order in which they take effect. Who looks
back passes over it until its time has come. What the event starts waits for its time by itself (`not_before`). What it
wakes and cancels is worked off at that time, as if it were received then: the store keeps when the event is to be seen
to, so that a lost message or timer changes nothing.

Clocks differ. A wait whose clock lags may be registered after the event was worked off, and pass over the event all the
same. So the event is seen to once more when that cannot be any longer.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.engine.intake import receive
from tidemill.engine.runs import match_waits
from tidemill.limits import SKEW
from tidemill.model import Event
from tidemill.ports import World


def come(
    world: World,
    event: Event,
    after: receive.Mark | None = None,
    woken: Callable[[str], object] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
) -> receive.Mark | None:
    """The time of a delayed event has come: it is found by every path that is awaited by now, and wakes who waits.

    In parts, as `receive.wake_on`. Harmless to do twice, too early, and for an event that was not delayed.
    """
    if match_waits.ahead(world, event):
        return None
    keys = receive.store(world, event) if after is None else receive.awaited_keys(world, event)
    if keys is None:
        world.events.redue(event.id, None)
        return None
    mark = receive.wake_on(world, event, after, woken, stopping, keys)
    if mark is None and event.ts > event.received_at:
        again = event.effective_at + SKEW
        world.events.redue(event.id, again if world.clock.now() < again else None)
    return mark
