"""`/v1/events`: what was sent, and what it started."""

from __future__ import annotations

from tidemill.core.view import event_view, run_view
from tidemill.model import SIGNAL, Event
from tidemill.ports import EventQuery
from tidemill_lambdas import params
from tidemill_lambdas.api import cursors, pages, runs
from tidemill_lambdas.http import Refused, Response, raw, respond
from tidemill_lambdas.paths import given_id
from tidemill_lambdas.router import Call


def page(call: Call) -> Response:
    limit = params.limit(call.query)
    query = EventQuery(
        name=call.query.get("name"),
        user=call.query.get("user"),
        after=params.after(call.query),
        limit=limit + 1,
        cursor=cursors.read("events", call.query),
    )
    found = call.world.events.page(query)
    return pages.page(
        found, limit, event_view, lambda last: cursors.write("events", call.query, last.received_at, last.id)
    )


def one(call: Call) -> Response:
    return respond(200, {"data": event_view(_event(call))})


def runs_of(call: Call) -> Response:
    heads = call.world.runs.of_event(_event(call).id)
    found = [(head, runs.end_of(call, head)) for head in reversed(heads)]
    origin = call.request.origin
    body = pages.shrunk(lambda inline: [run_view(head, end, origin, inline) for head, end in found])
    return raw(200, body[:-1] + b',"cursor":null}')


def _event(call: Call) -> Event:
    event_id = given_id(call.path, call.query, "event_id")
    event = call.world.events.get(event_id)
    if event is None or event.name == SIGNAL:
        raise Refused(404, f"no event has the id {event_id[:300]!r}; GET /v1/events lists the latest")
    return event
