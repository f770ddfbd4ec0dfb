"""Every event of the mill's bus comes by here: ours is stored and wakes who waits for it; a foreign one becomes ours.

What functions an event starts is none of this Lambda's business: it reaches them by their own queues, at the same time.
Everything may be done twice. An id that was received before, with another content or at another time, changes nothing:
the first content stands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tidemill.aws.messages import envelope
from tidemill.engine.intake import delayed, receive
from tidemill.engine.runs import match_waits
from tidemill.limits import MESSAGE_DELAY, SECOND, VALUE_INLINE
from tidemill.model import REJECTED, Event
from tidemill.ports import World
from tidemill_lambdas.http import Refused
from tidemill_lambdas.ingest import accept

Rejected = Callable[[Event], object]  # told of what was kept as rejected
Delay = Callable[[str, int], object]  # sends a message of our own in so many seconds


class _Again(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message of our own: go on waking the waiters of this event; or, at this time, begin to: it was delayed."""

    wake: str
    after: receive.Mark | None = None
    at: int | None = None


_again = msgspec.json.Decoder(_Again)


def work(
    body: str,
    world: World,
    *,
    later: Callable[[str], object],
    stopping: Callable[[], bool] = lambda: False,
    rejected: Rejected = lambda _: None,
    delay: Delay = lambda _body, _seconds: None,
) -> None:
    """One message of the events queue. Where `stopping()` comes before all are awake, a message says `later` where to
    go on. An event that takes effect within minutes comes again by a `delay`ed message; the sweep sees to all others.
    Raises ValueError for what is no event of EventBridge, and what the stores raise."""
    if body.startswith('{"wake"'):
        _go_on(world, _again.decode(body), later, stopping, delay)
        return
    found = envelope.read(body)
    if found.ours:
        _keep(world, envelope.event_of(found), later, stopping, delay)
        return
    try:
        event = accept.foreign(found, world.clock.now(), world.entropy)
    except Refused as refused:
        rejected(_reject(world, found, refused))
    else:
        world.bus.publish([event])


def remind(event_id: str, at: int, now: int, delay: Delay) -> None:
    """Have the events queue told at this time that a delayed event takes effect; at once where it has already."""
    body = msgspec.json.encode(_Again(event_id, at=at)).decode()
    delay(body, min(max(-(-(at - now) // SECOND), 0), MESSAGE_DELAY // SECOND))


def _keep(
    world: World, event: Event, later: Callable[[str], object], stopping: Callable[[], bool], delay: Delay
) -> None:
    keys = receive.store(world, event)
    if keys is None:
        return
    now = world.clock.now()
    if match_waits.ahead(world, event):
        if event.ts - now <= MESSAGE_DELAY:
            remind(event.id, event.ts, now, delay)
        return
    _more(event, receive.wake_on(world, event, None, stopping=stopping, keys=keys), later)


def _go_on(
    world: World, again: _Again, later: Callable[[str], object], stopping: Callable[[], bool], delay: Delay
) -> None:
    event, now = world.events.get(again.wake), world.clock.now()
    if event is None:
        return
    if again.at is not None and again.at > now:
        remind(event.id, again.at, now, delay)
    else:
        _more(event, delayed.come(world, event, again.after, stopping=stopping), later)


def _more(event: Event, mark: receive.Mark | None, later: Callable[[str], object]) -> None:
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
