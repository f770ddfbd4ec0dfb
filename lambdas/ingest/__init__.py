"""The door for events: `POST /e/{event_key}`, and `POST /w/{event_key}/{name}` for other people's webhooks.

A request is checked as a whole: either all of its events are taken in, or none and every problem is named.
"""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.execute.receive import known, receive
from tidemill.limits import REQUEST_BYTES
from tidemill.model import Event
from tidemill.ports import World
from tidemill_lambdas.http import Payload, Refused, Response, respond
from tidemill_lambdas.ingest import accept
from tidemill_lambdas.keys import Keys, check_event_key
from tidemill_lambdas.router import Call, Route, dispatch


def handle(request: Payload, world: World, keys: Keys) -> Response:
    """Answers one request (see `tidemill_lambdas.http`). Raises only what the stores raise."""
    return dispatch(ROUTES, request, world, keys)


def _send(call: Call) -> Response:
    events = accept.events(_body(call), call.world.clock.now(), call.world.entropy)
    return _take_in(call.world, events)


def _webhook(call: Call) -> Response:
    event = accept.webhook(call.path["name"], _body(call), call.world.clock.now(), call.world.entropy)
    return _take_in(call.world, [event])


def _body(call: Call) -> bytes:
    check_event_key(call.keys, call.path["event_key"])
    body = call.request.body
    if len(body) > REQUEST_BYTES:
        raise Refused(413, f"the body has {len(body)} bytes, more than 4 MiB; send the events in several requests")
    return body


def _take_in(world: World, events: Sequence[Event]) -> Response:
    for event in events:
        if known(world, event.id, event.received_at) is None:
            receive(world, event)
    return respond(200, {"ids": [event.id for event in events], "status": 200})


ROUTES = (
    Route("POST", "/e/{event_key}", _send, query=None),
    Route("POST", "/w/{event_key}/{name+}", _webhook, query=None),
)
