"""Every event of the mill's bus comes by here: ours is stored and wakes who waits for it; a foreign one becomes ours.

What functions an event starts is none of this Lambda's business: it reaches them by their own queues, at the same time.
Everything may be done twice. An id that was received before, with another content or at another time, changes nothing:
the first content stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tidemill.aws import envelope
from tidemill.execute import receive
from tidemill.limits import VALUE_INLINE
from tidemill.model import REJECTED, Event
from tidemill.ports import World
from tidemill_lambdas.http import Refused
from tidemill_lambdas.ingest import accept

Rejected = Callable[[Event], object]  # told of what was kept as rejected


class _Again(msgspec.Struct, frozen=True):
    """A message of our own: go on waking the waiters of this event."""

    wake: str
    after: receive.Mark


_again = msgspec.json.Decoder(_Again)


def work(
    body: str,
    world: World,
    *,
    later: Callable[[str], object],
    stopping: Callable[[], bool] = lambda: False,
    rejected: Rejected = lambda _: None,
) -> None:
    """One message of the events queue. Where `stopping()` comes before all are awake, a message says `later` where to
    go on. Raises ValueError for what is no event of EventBridge, and what the stores raise."""
    if body.startswith('{"wake"'):
        again = _again.decode(body)
        event = world.events.get(again.wake)
        if event is not None:
            _wake(world, event, again.after, later, stopping)
        return
    found = envelope.read(body)
    if found.ours:
        _keep(world, envelope.event_of(found), later, stopping)
        return
    try:
        event = accept.foreign(found, world.clock.now(), world.entropy)
    except Refused as refused:
        rejected(_reject(world, found, refused))
    else:
        world.bus.publish([event])


def _keep(world: World, event: Event, later: Callable[[str], object], stopping: Callable[[], bool]) -> None:
    keys = receive.store(world, event)
    if keys is not None:
        _wake(world, event, None, later, stopping, keys)


def _wake(
    world: World,
    event: Event,
    after: receive.Mark | None,
    later: Callable[[str], object],
    stopping: Callable[[], bool],
    keys: receive.Keys | None = None,
) -> None:
    mark = receive.wake_on(world, event, after, stopping=stopping, keys=keys)
    if mark is not None:
        later(msgspec.json.encode(_Again(event.id, mark)).decode())


def _reject(world: World, found: envelope.Envelope, refused: Refused) -> Event:
    """Keep what was refused, with the reason, as an event of the platform's; announce it if anybody listens."""
    event = world.events.get(found.id)
    if event is None:
        now = world.clock.now()
        event = Event(found.id, REJECTED, _refusal(found, refused), now, now)
        receive.store(world, event)
    if world.registry.listeners(REJECTED) or world.waits.awaited(REJECTED):
        world.bus.publish([event])
    return event


def _refusal(found: envelope.Envelope, refused: Refused) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.detail_type,
        "source": found.source,
        "error": refused.sentence,
        "errors": [{**error, "loc": list(error["loc"])} for error in refused.errors or ()],
        "detail": bytes(found.detail).decode("utf-8", "replace")[:VALUE_INLINE],
    }
