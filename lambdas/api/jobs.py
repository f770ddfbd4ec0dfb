"""`/v1/replays` and `/v1/cancellations`: the same for many runs of a function, processed in the background."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tidemill import duration, ids
from tidemill.core import expression
from tidemill.core.view.values import time_view
from tidemill.engine.intake import bulk
from tidemill.limits import HOUR, MINUTE, SECOND
from tidemill.model import ENDED, RUN_STATUSES, Job, RunStatus
from tidemill.ports import Page
from tidemill_lambdas import params
from tidemill_lambdas.api import bodies, cursors, pages, runs
from tidemill_lambdas.http import Refused, Response, respond
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work

Kind = Literal["replay", "cancellation"]

_FIELDS = ("function_id", "status", "started_after", "started_before", "if", "rate", "dry_run", "id")
_RATE = re.compile(r"([1-9]\d{0,5})/(s|m|h)", re.ASCII)
_PERIODS = {"s": SECOND, "m": MINUTE, "h": HOUR}


def create(kind: Kind) -> Callable[[Call], Work]:
    def answer(call: Call) -> Work:
        found = bodies.fields(call, *_FIELDS)
        dry, job = _flag(found), _job(call, kind, found)
        if dry:
            return (yield from _dry(call, job))
        call.world.jobs.put(job)
        return respond(202, {"data": {"id": _shown(job)}})

    return answer


def page(kind: Kind) -> Callable[[Call], Work]:
    def answer(call: Call) -> Work:
        limit = params.limit(call.query)
        found = call.world.jobs.page(kind, limit + 1, cursors.read(kind, call.query))
        return pages.page(
            Page(found), limit, _view, lambda job: (job.created_at, job.id),
            lambda last: cursors.write(kind, call.query, *last),
        )  # fmt: skip

    return answer


def one(kind: Kind) -> Callable[[Call], Response]:
    return lambda call: respond(200, {"data": _view(_known(call, kind))})


def act(kind: Kind, status: str, of: tuple[str, ...]) -> Callable[[Call], Response]:
    """Pause, resume or stop: harmless to do twice; one that has ended stays as it is (409)."""

    def answer(call: Call) -> Response:
        job = bulk.set_status(call.world, _known(call, kind).id, status, of)
        assert job is not None
        if job.status != status:
            raise Refused(409, f"this {kind} is {job.status} already, so it cannot be {status}")
        return respond(200, {"data": _view(job)})

    return answer


def _known(call: Call, kind: Kind) -> Job:
    job_id = call.path["job_id"]
    job = call.world.jobs.get(_stored(kind, job_id))
    if job is None:
        raise Refused(404, f"no {kind} has the id {job_id[:300]!r}; check it against the list of {kind}s")
    return job


def _view(job: Job) -> dict[str, Any]:
    return {
        "id": _shown(job),
        "kind": job.kind,
        "function_id": job.function_id,
        "status": job.status,
        "matched": job.matched,
        "done": job.done,
        "skipped": job.skipped,
        "failed": job.failed,
        "created_at": duration.iso(job.created_at),
        "ended_at": time_view(job.ended_at),
    }


def _dry(call: Call, job: Job) -> Work:
    for found in bulk.dry(call.world, job):
        if found is not None:
            shown = [runs.row(call, head, 0) for head in found.heads]
            return respond(200, {"data": {"count": found.count, "more": found.more, "runs": shown}})
        yield
    raise AssertionError("a dry run always ends with a count")


def _job(call: Call, kind: Kind, found: Mapping[str, Any]) -> Job:
    now = call.world.clock.now()
    function_id = found.get("function_id")
    if not isinstance(function_id, str):
        raise Refused(400, "function_id must be the id of a function, as text; GET /v1/functions lists them")
    own = bodies.own_id(found) or ids.ulid(now, call.world.entropy.bytes(10))
    before = _time(found, "started_before")
    job = Job(
        _stored(kind, own), kind, function_id, _statuses(kind, found), now, min(before or now + 1, now + 1),
        _time(found, "started_after"), _condition(found), _rate(found), turn_at=now,
    )  # fmt: skip
    if call.world.registry.function(function_id) is None and kind == "replay":
        raise Refused(409, f"function {function_id[:300]!r} is not declared at present; bring it back, then replay")
    return job


def _shown(job: Job) -> str:
    return job.id.partition(":")[2]


def _stored(kind: Kind, job_id: str) -> str:
    """The ids of both kinds are apart."""
    return f"{kind}:{job_id}"


def _statuses(kind: Kind, found: Mapping[str, Any]) -> tuple[RunStatus, ...]:
    open_: tuple[RunStatus, ...] = tuple(status for status in RUN_STATUSES if status not in ENDED)
    fitting = open_ if kind == "cancellation" else tuple(status for status in RUN_STATUSES if status in ENDED)
    if "status" not in found:
        return open_ if kind == "cancellation" else ("failed",)
    if found["status"] not in fitting:
        raise Refused(400, f"the status of a {kind} is one of {', '.join(fitting)}")
    return (found["status"],)


def _time(found: Mapping[str, Any], name: str) -> int | None:
    if name not in found:
        return None
    if not isinstance(found[name], str | int) or isinstance(found[name], bool):
        raise Refused(400, f"{name} must be a time, in ISO 8601 or in milliseconds since the epoch")
    return params.after({name: str(found[name])}, name)


def _condition(found: Mapping[str, Any]) -> str | None:
    written = found.get("if")
    if "if" not in found:
        return None
    if not isinstance(written, str):
        raise Refused(400, "if must be an expression over run and event, as text")
    try:
        expression.compile(written, bulk.ROOTS)
    except expression.ExpressionError as error:
        raise Refused(400, f"if: {error}") from None
    return written


def _rate(found: Mapping[str, Any]) -> tuple[int, int] | None:
    if "rate" not in found:
        return None
    matched = _RATE.fullmatch(found["rate"]) if isinstance(found["rate"], str) else None
    if matched is None:
        raise Refused(400, 'rate must be a number from 1 on and a unit, such as "50/s", "10/m" or "5/h"')
    return int(matched[1]), _PERIODS[matched[2]]


def _flag(found: Mapping[str, Any]) -> bool:
    if not isinstance(found.get("dry_run", False), bool):
        raise Refused(400, "dry_run must be true or false")
    return bool(found.get("dry_run", False))
