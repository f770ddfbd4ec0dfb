"""`/v1/events`: the events that were sent, and the runs that they started."""

from __future__ import annotations

from functools import partial

from tidemill.core.view.runs import event_view
from tidemill.engine.intake import reject
from tidemill.errors import EventError
from tidemill.model import SIGNAL, Event
from tidemill.ports import Damaged, EventQuery
from tidemill_lambdas import params
from tidemill_lambdas.api import bodies, cursors, pages, runs
from tidemill_lambdas.http import Refused, Response, respond
from tidemill_lambdas.ingest import accept
from tidemill_lambdas.paths import given_id
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work


def page(call: Call) -> Work:
    limit = params.limit(call.query)
    query = EventQuery(
        name=call.query.get("name"),
        user=call.query.get("user"),
        after=params.after(call.query),
        before=params.before(call.query),
        oldest=params.oldest(call.query),
        limit=limit + 1,
        cursor=cursors.read("events", call.query),
        rejected=params.flag(call.query, "rejected"),
    )
    found = call.world.events.page(query)
    return pages.page(found, limit, event_view, _key, lambda last: cursors.write("events", call.query, *last))


def _key(event: Event) -> pages.Key:
    return event.received_at, event.id


def one(call: Call) -> Response:
    return respond(200, {"data": event_view(_event(call))})


def runs_of(call: Call) -> Work:
    """All runs of the event: a value is replaced by its URL if the values would not fit together."""
    found = call.world.runs.of_event(_event(call).id)
    entries = list(pages.entries(found, found.damaged))[::-1]
    rows = pages.Rows()
    for inline in pages.INLINES:
        rows, fits = pages.Rows(), True
        for entry in entries:
            if isinstance(entry, Damaged):
                rows.name((entry.at, entry.id), entry.problem)
            else:
                fits = rows.add((entry.created_at, entry.run_id), partial(runs.row, call, entry, inline)) and fits
            yield
        if fits:
            break
    return rows.response(None)


def resend(call: Call) -> Response:
    """Accept a rejected event after all, under its own id."""
    events, now = call.world.events, call.world.clock.now()
    event_id = given_id(call.path, call.query, "event_id")
    given = bodies.fields(call, "data", "v", optional=True)
    rejected = events.rejected(event_id)
    if rejected is None:
        _event(call)
        raise Refused(409, f"the event {event_id[:300]!r} was never rejected; send a new event to start its runs again")
    taken = events.get(event_id)
    try:
        reject.resend(call.world, taken or accept.again(rejected, given, now, call.world.entropy), known=bool(taken))
    except EventError as error:
        raise Refused(400, str(error), errors=error.errors) from None
    return respond(200, {"data": {"id": event_id}})


def _event(call: Call) -> Event:
    event_id = given_id(call.path, call.query, "event_id")
    event = call.world.events.get(event_id) or call.world.events.rejected(event_id)
    if event is None or event.name == SIGNAL:
        raise Refused(404, f"no event has the id {event_id[:300]!r}; GET /v1/events lists the latest")
    return event
