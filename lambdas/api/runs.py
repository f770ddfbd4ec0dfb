"""`/v1/runs`: the runs that events started, their progress, and how to cancel or rerun them."""

from __future__ import annotations

import re
from collections.abc import Callable

from tidemill.core.journal import Record
from tidemill.core.view.runs import journal_view, run_view, steps_view, whole_run_view
from tidemill.core.view.values import View, encoded_value, has_value
from tidemill.engine.intake.rerun import rerun as run_again
from tidemill.engine.runs import end
from tidemill.limits import ANSWER_BYTES, VALUE_INLINE
from tidemill.model import Head
from tidemill.ports import Page, RunQuery
from tidemill_lambdas import params
from tidemill_lambdas.api import bodies, cursors, pages
from tidemill_lambdas.http import Refused, Response, raw, respond
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work

_SEQ = re.compile(r"\d{1,9}", re.ASCII)


def page(call: Call) -> Work:
    limit = params.limit(call.query)
    query = RunQuery(
        function_id=call.query.get("function"),
        status=params.status(call.query),
        user=call.query.get("user"),
        after=params.after(call.query),
        before=params.before(call.query),
        oldest=params.oldest(call.query),
        limit=limit + 1,
        cursor=cursors.read("runs", call.query),
    )
    found = call.world.runs.page(query)
    return pages.page(
        found, limit, lambda head: row(call, head), _key, lambda last: cursors.write("runs", call.query, *last)
    )


def row(call: Call, head: Head, inline: int = VALUE_INLINE) -> View:
    """A run in a list."""
    return run_view(head, end_of(call, head), call.request.origin, inline)


def _key(head: Head) -> pages.Key:
    return head.created_at, head.run_id


def end_of(call: Call, head: Head) -> list[Record]:
    """The terminal record of a run's journal, which a list shows."""
    return call.world.runs.read(head.run_id, head.end - 1)[:1] if head.end is not None else []


def one(call: Call) -> Response:
    return _whole(call, head_of(call))


def cancel(call: Call) -> Response:
    head = head_of(call)
    if not end.cancel(call.world, head.run_id, "cancelled by a call of the API"):
        status = run_view(head_of(call), call.world.runs.read(head.run_id))["status"]
        raise Refused(409, f"run {head.run_id} has ended already ({status}), so there is nothing to cancel")
    return _whole(call, head_of(call))


def rerun(call: Call) -> Response:
    head = head_of(call)
    found = bodies.fields(call, "from_step", "input", "id", optional=True)
    own = bodies.own_id(found)
    step = found.get("from_step")
    if not isinstance(step, str) and "from_step" in found:
        raise Refused(400, "from_step must be the id of a step, as text")
    data = bodies.json_object(found, "input")
    if call.world.registry.function(head.function_id) is None:
        sentence = f"function {head.function_id!r} is not declared at present; bring it back, then run this again"
        raise Refused(409, sentence)
    try:
        run_id = run_again(call.world, head.run_id, step, data, own)
    except LookupError as error:
        raise Refused(400, str(error.args[0])) from None
    return respond(200, {"data": {"run_id": run_id}})


def value(call: Call) -> Response:
    """A value that is too large to be shown inside its run."""
    head = head_of(call)
    seq = call.path["seq"]
    records = call.world.runs.read(head.run_id, int(seq) - 1)[:1] if _SEQ.fullmatch(seq) else []
    if not records or not has_value(records[0]):
        raise Refused(404, f"run {head.run_id} has no value number {seq[:20]!r}; its steps and its output name theirs")
    return elsewhere(call, b'{"data":%b}' % encoded_value(records[0]))


def steps(call: Call) -> Work:
    def view(head: Head, records: list[Record]) -> list[View]:
        return steps_view(records, head, call.request.origin, at_work=call.world.at_work(head.run_id))

    return _rows(call, "steps", view)


def journal(call: Call) -> Work:
    return _rows(call, "journal", lambda _, records: journal_view(records))


def _rows(call: Call, of: str, view: Callable[[Head, list[Record]], list[View]]) -> Work:
    """A page of a run's journal or steps, oldest first."""
    head = head_of(call)
    limit = params.limit(call.query)
    begin, _ = cursors.read(f"{of} of {head.run_id}", call.query) or (0, "")
    rows = list(enumerate(view(head, call.world.runs.read(head.run_id))))[begin : begin + limit + 1]
    return pages.page(
        Page(rows),
        limit,
        lambda row: row[1],
        lambda row: (row[0] + 1, ""),
        lambda last: cursors.write(f"{of} of {head.run_id}", call.query, *last),
    )


def elsewhere(call: Call, body: bytes) -> Response:
    """The answer; or a redirect to it if it is too large for a Lambda's response."""
    blobs = call.world.blobs
    address = blobs.address(blobs.put(body)) if len(body) > ANSWER_BYTES else None
    return raw(200, body) if address is None else raw(303, b"", {"location": address})


def _whole(call: Call, head: Head) -> Response:
    records, origin = call.world.runs.read(head.run_id), call.request.origin
    at_work = call.world.at_work(head.run_id)
    return raw(200, pages.shrunk(lambda inline: whole_run_view(head, records, origin, inline, at_work)))


def head_of(call: Call) -> Head:
    """The run that the path names. Raises Refused."""
    run_id = call.path["run_id"]
    head = call.world.runs.head(run_id)
    if head is None:
        raise unknown(run_id)
    return head


def unknown(run_id: str) -> Refused:
    return Refused(404, f"no run has the id {run_id[:300]!r}; GET /v1/runs lists the latest")
