"""Delayed events, whose `ts` is in the future at receipt: each takes effect at its `ts`, and not before.

Such an event is stored at once, in the order in which events take effect. A lookback skips it until its time has come.
The runs that it starts wait for the time by themselves (`not_before`). Its waits and cancellations are processed at
that time, as if it were received then: the store has the event's due time, so that a lost message or timer changes
nothing.

Clocks differ. A wait whose clock lags may be registered after the event was processed, and still skip the event. So the
event is processed once more when that is no longer possible.
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
    """A delayed event is due: store it under every path that is awaited by now, and wake its waits.

    In parts, like `receive.wake_on`. Harmless to do twice, too early, and for an event that was not delayed.
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
