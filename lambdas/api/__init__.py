"""The HTTP API: `/health`, `/openapi.json`, and every call under `/v1`, which reads data and acts on runs."""

from __future__ import annotations

from tidemill.ports import World
from tidemill_lambdas import router
from tidemill_lambdas.api import (
    about,
    events,
    export,
    functions,
    jobs,
    logs,
    pauses,
    runs,
    schemas,
    signals,
    story,
    why,
)
from tidemill_lambdas.http import Payload, Refused, Request, Response, request_of
from tidemill_lambdas.keys import KeyRing, Keys, api_key, check_api_key
from tidemill_lambdas.router import Route
from tidemill_lambdas.work import Work, run_through


def handle(request: Payload, world: World, keys: Keys) -> Response:
    """Answers one request (see `tidemill_lambdas.http`). Raises only the stores' errors."""
    return run_through(work(request, world, keys))


def work(request: Payload, world: World, keys: Keys) -> Work:
    """Like `handle`, in parts (see `work`)."""
    return router.work(ROUTES, request, world, keys, _check)


def keyless(request: Payload) -> Response | None:
    """The refusal of a call without a key. It reads neither stores nor keys, because there may be a flood of such
    calls."""
    try:
        _check(request_of(request), _NONE)
    except Refused as refused:
        return refused.response() if not api_key(request_of(request)) else None
    return None


def _check(request: Request, keys: Keys) -> None:
    if request.path.startswith("/v1"):
        check_api_key(keys, request)


_NONE = KeyRing((), ())
_RUNS = ("function", "status", "user", "after", "before", "order", "limit", "cursor")
_EVENTS = ("name", "user", "rejected", "after", "before", "order", "limit", "cursor")

ROUTES = (
    Route("GET", "/health", about.health, query=None),
    Route("GET", "/openapi.json", about.openapi, query=None),
    Route("GET", "/v1/events", events.page, query=_EVENTS),
    Route("GET", "/v1/events/{event_id+}/runs", events.runs_of, query=("id",)),
    Route("POST", "/v1/events/{event_id+}/resend", events.resend, query=("id",)),
    Route("GET", "/v1/events/{event_id+}", events.one, query=("id",)),
    Route("GET", "/v1/schemas", schemas.page, query=("name",)),
    Route("GET", "/v1/runs", runs.page, query=_RUNS),
    Route("GET", "/v1/runs/{run_id}", runs.one),
    Route("GET", "/v1/runs/{run_id}/steps", runs.steps, query=("limit", "cursor")),
    Route("GET", "/v1/runs/{run_id}/journal", runs.journal, query=("limit", "cursor")),
    Route("GET", "/v1/runs/{run_id}/logs", logs.page, query=("limit", "cursor")),
    Route("GET", "/v1/runs/{run_id}/why", why.one),
    Route("GET", "/v1/runs/{run_id}/export", export.page, query=("cursor",)),
    Route("DELETE", "/v1/runs/{run_id}", runs.cancel),
    Route("POST", "/v1/runs/{run_id}/rerun", runs.rerun),
    Route("GET", "/v1/runs/{run_id}/values/{seq}", runs.value),
    Route("GET", "/v1/users/{user+}/story", story.page, query=("id", "after", "limit", "cursor")),
    Route("GET", "/v1/functions", functions.page),
    Route("GET", "/v1/functions/{function_id}", functions.one),
    Route("POST", "/v1/functions/{function_id}/invoke", functions.invoke),
    Route("POST", "/v1/functions/{function_id}/pause", pauses.pause),
    Route("POST", "/v1/functions/{function_id}/resume", pauses.resume),
    Route("POST", "/v1/functions/pause", pauses.pause_all),
    Route("POST", "/v1/functions/resume", pauses.resume_all),
    Route("POST", "/v1/replays", jobs.create("replay")),
    Route("GET", "/v1/replays", jobs.page("replay"), query=("limit", "cursor")),
    Route("GET", "/v1/replays/{job_id}", jobs.one("replay")),
    Route("POST", "/v1/replays/{job_id}/pause", jobs.act("replay", "paused", ("running", "paused"))),
    Route("POST", "/v1/replays/{job_id}/resume", jobs.act("replay", "running", ("paused", "running"))),
    Route("DELETE", "/v1/replays/{job_id}", jobs.act("replay", "stopped", ("running", "paused", "stopped"))),
    Route("POST", "/v1/cancellations", jobs.create("cancellation")),
    Route("GET", "/v1/cancellations", jobs.page("cancellation"), query=("limit", "cursor")),
    Route("GET", "/v1/cancellations/{job_id}", jobs.one("cancellation")),
    Route("POST", "/v1/cancellations/{job_id}/pause", jobs.act("cancellation", "paused", ("running", "paused"))),
    Route("POST", "/v1/cancellations/{job_id}/resume", jobs.act("cancellation", "running", ("paused", "running"))),
    Route(
        "DELETE", "/v1/cancellations/{job_id}", jobs.act("cancellation", "stopped", ("running", "paused", "stopped"))
    ),
    Route("POST", "/v1/signals", signals.send),
)
