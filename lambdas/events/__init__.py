"""Handles every event on the deployment's bus: stores it, wakes the runs that wait for it, stamps foreign events.

This Lambda does not start functions: the event reaches them by their own queues at the same time. Everything may be
done twice. An id that was received before, with other content or at another time, changes nothing: the first is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidemill.aws.messages import envelope
from tidemill.engine.intake import delayed, receive, reject
from tidemill.engine.intake.fit import fitting
from tidemill.engine.runs import match_waits
from tidemill.errors import EventError
from tidemill.limits import EVENT_NAME_CHARS, MESSAGE_DELAY, SECOND, VALUE_INLINE
from tidemill.model import Event
from tidemill.ports import World
from tidemill_lambdas.http import Refused
from tidemill_lambdas.ingest import accept
from tidemill_lambdas.strict_json import loads, unstorable

Told = Callable[[Event], object]  # called for each rejected event
Delay = Callable[[str, int], object]  # sends a message to this queue with a delay in seconds


class _Again(msgspec.Struct, frozen=True, omit_defaults=True):
    """This Lambda's message to itself: continue to wake the waits of this event, or begin at this time if it is
    delayed."""

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
    rejected: Told = lambda _: None,
    delay: Delay = lambda _body, _seconds: None,
) -> None:
    """Process one message of the events queue. If `stopping()` comes before all waits are woken, a message sent by
    `later` says where to continue. An event that takes effect within minutes comes again as a `delay`ed message; the
    sweep handles all others. Raises ValueError for a message that is not from EventBridge, and the stores' errors."""
    if body.startswith('{"wake"'):
        _go_on(world, _again.decode(body), later, stopping, delay)
        return
    found = envelope.read(body)
    if found.ours:
        _keep(world, envelope.event_of(found), later, stopping, delay)
        return
    try:
        event = accept.foreign(found, world.clock.now(), world.entropy)
        events = fitting(world.registry, [event])
    except Refused as refused:
        rejected(_reject(world, found, refused.sentence, refused.errors or ()))
    except EventError as error:
        rejected(_reject(world, found, str(error), error.errors))
    else:
        world.bus.publish(events)


def remind(event_id: str, at: int, now: int, delay: Delay) -> None:
    """Send the events queue a message for the time when a delayed event takes effect; now if that has passed."""
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


def _reject(world: World, found: envelope.Envelope, error: str, errors: Sequence[Mapping[str, Any]]) -> Event:
    now = world.clock.now()
    return reject.keep(
        world,
        Event(
            found.id,
            found.detail_type[:EVENT_NAME_CHARS],
            {},
            round(found.time.timestamp() * SECOND),
            now,
            rejected=reject.why(error, errors, _body(bytes(found.detail))),
        ),
        found.source,
    )


def _body(detail: bytes) -> Any:
    """The JSON that was sent, if it can be stored; else its text, cut to the shown length."""
    try:
        value = loads(detail)
    except Refused:
        value = None
    if value is None or unstorable(value) is not None:
        return detail.decode("utf-8", "replace")[:VALUE_INLINE]
    return value
