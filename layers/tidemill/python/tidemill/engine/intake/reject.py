"""Events that are kept as rejected: by PutEvents and from verified webhooks, whose sender cannot be told.

A rejected event starts, resolves and cancels nothing, and no list names it unless it is asked for. When it is taken in
after all (`resend`), it becomes an event as any other, under its own id; that it was rejected once stays known, so that
the same call gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tidemill import ids
from tidemill.engine.intake import receive
from tidemill.engine.intake.fit import fitting
from tidemill.model import REJECTED, Event, Rejected
from tidemill.ports import World


def why(error: str, errors: Iterable[Mapping[str, Any]], body: Any) -> Rejected:
    """The reason, as it is stored: places are lists. `body`: what was sent."""
    return Rejected(error, [{**each, "loc": list(each["loc"])} for each in errors], body)


def keep(world: World, event: Event, source: str = "") -> Event:
    """Keep what was rejected, with the reason; announce it if anybody listens. The event that is kept: a first one
    under its id stands. Harmless to do twice."""
    world.events.reject(event)
    kept = world.events.rejected(event.id) or event
    if world.registry.listeners(REJECTED) or world.waits.awaited(REJECTED):
        world.bus.publish([_announcement(kept, source)])
    return kept


def resend(world: World, event: Event, *, known: bool) -> None:
    """Take a rejected event in, under its own id. Raises EventError where it does not fit its schema.

    `known`: it was taken in before, and is what the store gave. It is published again, for the process may have died
    after it was stored; a run is created once for its event.
    """
    if not known:
        (event,) = fitting(world.registry, [event])
        receive.store(world, event)
    world.events.accepted(event.id)
    world.bus.publish([event])


def _announcement(event: Event, source: str) -> Event:
    assert event.rejected is not None
    data = {
        "id": event.id,
        "name": event.name,
        "source": source,
        "error": event.rejected.error,
        "errors": event.rejected.errors,
    }
    return Event(ids.derived(event.id, REJECTED), REJECTED, data, event.received_at, event.received_at, event.user)
