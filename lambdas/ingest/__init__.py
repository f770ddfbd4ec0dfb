"""The door for events: `POST /e/{event_key}`, and `POST /w/{event_key}/{name}` for other people's webhooks.

A request is checked as a whole: either all of its events are taken in, or none and every problem is named. What taking
in means is the world's: `take_in` where one process does it all, `publish` where events travel by a bus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from msgspec import structs

from tidemill.engine.intake import reject
from tidemill.engine.intake.fit import fitting
from tidemill.engine.intake.receive import known, receive_in_parts
from tidemill.errors import EventError
from tidemill.model import PLATFORM, Event, WebhookSpec
from tidemill.ports import World
from tidemill_lambdas import router
from tidemill_lambdas.http import Payload, Refused, Response, respond
from tidemill_lambdas.ingest import accept, cloudevents, webhooks
from tidemill_lambdas.keys import Keys, check_event_key
from tidemill_lambdas.router import Call, Route
from tidemill_lambdas.work import Parts, Work, run_through

Take = Callable[[World, Sequence[Event]], Parts[None]]
Told = Callable[[Event], object]


def nobody(_event: Event) -> None:
    """Where there is nobody to be told."""


def take_in(world: World, events: Sequence[Event]) -> Parts[None]:
    """Store the events, start what listens for them, wake who waits.

    An id that is known stands for its first content, which is taken in again: a process that died, or whose disk was
    full, may have done a part of it. What was done is not done twice.
    """
    for event in events:
        first = known(world, event.id, event.received_at)
        if first is None or not first.name.startswith(PLATFORM):
            yield from receive_in_parts(world, first or event)
            yield


def publish(world: World, events: Sequence[Event]) -> Parts[None]:
    """Put the events on the bus, known ids too: asking first would lose an event when the process dies in between.

    A run is created once for its event, so the same id again starts nothing.
    """
    world.bus.publish(events)
    yield


def handle(request: Payload, world: World, keys: Keys, take: Take = take_in, rejected: Told = nobody) -> Response:
    """Answers one request (see `tidemill_lambdas.http`). `rejected` is told of what a webhook has sent and no schema
    admits. Raises only what the stores raise."""
    return run_through(work(request, world, keys, take, rejected))


def work(request: Payload, world: World, keys: Keys, take: Take = take_in, rejected: Told = nobody) -> Work:
    """As `handle`, in parts."""
    return router.work(routes(take, rejected), request, world, keys)


@cache
def routes(take: Take, rejected: Told = nobody) -> tuple[Route, ...]:
    def send(call: Call) -> Work:
        body, now, entropy = _body(call), call.world.clock.now(), call.world.entropy
        cloud = cloudevents.is_cloud(call.request)
        return taken(
            call, accept.cloud(call.request, body, now, entropy) if cloud else accept.events(body, now, entropy)
        )

    def webhook(call: Call) -> Response | Work:
        body = _body(call)
        declared = call.world.registry.webhook(call.path["name"].partition("/")[0])
        if declared is None:
            event = accept.webhook(call.path["name"], body, call.world.clock.now(), call.world.entropy)
            return taken(call, [event])
        return signed(call, declared, body)

    def signed(call: Call, declared: WebhookSpec, body: bytes) -> Response | Work:
        if call.path["name"] != declared.name:
            raise Refused(
                404, f"the webhook {declared.name!r} is at /w/{{event_key}}/{declared.name}, and nothing below"
            )
        now = call.world.clock.now()
        delivery = webhooks.delivery(declared, call.request, body, call.world.registry, now)
        if delivery.challenge is not None:
            return respond(200, {"challenge": delivery.challenge})
        sent = delivery.event()
        if sent is None:
            return _answer([])
        event = accept.of_fields(sent, now, call.world.entropy)
        try:
            (event,) = fitting(call.world.registry, [event])
        except EventError as error:
            # Its sender can do nothing about it, and would send it again and again.
            why = reject.why(str(error), error.errors, delivery.body)
            kept = reject.keep(call.world, structs.replace(event, rejected=why), f"webhook {declared.name}")
            rejected(kept)
            return _answer([kept])
        return kept_in(call, [event])

    def taken(call: Call, events: Sequence[Event]) -> Work:
        try:
            events = fitting(call.world.registry, events)
        except EventError as error:
            raise Refused(400, f"{error}; nothing was taken in", errors=error.errors) from None
        return (yield from kept_in(call, events))

    def kept_in(call: Call, events: Sequence[Event]) -> Work:
        yield from take(call.world, events)
        return _answer(events)

    return (
        Route("POST", "/e/{event_key}", send, query=None),
        Route("POST", "/w/{event_key}/{name+}", webhook, query=None),
    )


def _answer(events: Sequence[Event]) -> Response:
    return respond(200, {"ids": [event.id for event in events], "status": 200})


def _body(call: Call) -> bytes:
    check_event_key(call.keys, call.path["event_key"])
    return call.request.bounded("send the events in several requests")


ROUTES = routes(take_in)
