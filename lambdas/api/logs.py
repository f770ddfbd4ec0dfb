"""`/v1/runs/{id}/logs`: the lines that the code of a run logged through `ctx.logger`, oldest first."""

from __future__ import annotations

from tidemill import duration
from tidemill.core.view.values import View
from tidemill.limits import LOG_BYTES, LOG_LINES
from tidemill.model import Head
from tidemill.run_logs import LogLine, LogPage
from tidemill_lambdas import params
from tidemill_lambdas.api import cursors, runs
from tidemill_lambdas.http import Refused, Response, respond
from tidemill_lambdas.router import Call


def page(call: Call) -> Response:
    head = runs.head_of(call)
    of = f"logs of {head.run_id}"
    try:
        found = call.world.logs.page(head, params.limit(call.query), cursors.read(of, call.query))
    except LookupError as error:
        raise Refused(400, str(error.args[0])) from None
    lines = [*_dropped(found, head), *map(_view, found.lines)]
    cursor = cursors.write(of, call.query, *found.cursor) if found.cursor is not None else None
    return respond(200, {"data": lines, "cursor": cursor})


def _view(line: LogLine) -> View:
    return {
        "at": duration.iso(line.at),
        "level": line.level,
        "message": line.message,
        "step": line.step,
        "attempt": line.attempt,
    }


def _dropped(found: LogPage, head: Head) -> list[View]:
    """A line from the platform which says that earlier lines are gone."""
    if not found.dropped:
        return []
    at, attempt = (found.lines[0].at, found.lines[0].attempt) if found.lines else (head.created_at, 1)
    message = (
        f"{found.dropped:,} earlier lines are gone: of each run its latest {LOG_LINES:,} lines are kept, at most "
        f"{LOG_BYTES // 1024} KiB"
    )
    return [_view(LogLine(head.run_id, at, "warning", message, None, attempt, ""))]
