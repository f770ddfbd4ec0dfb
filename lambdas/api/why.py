"""`/v1/runs/{id}/why`: why a run's code does not run now."""

from __future__ import annotations

from tidemill.engine.runs.why import explain
from tidemill_lambdas.api import runs
from tidemill_lambdas.http import Response, respond
from tidemill_lambdas.router import Call


def one(call: Call) -> Response:
    run_id = call.path["run_id"]
    found = explain(call.world, run_id)
    if found is None:
        raise runs.unknown(run_id)
    status, why = found
    view = {
        "run_id": run_id,
        "status": status,
        "code": why.code,
        "sentence": why.sentence,
        "details": why.details,
    }
    return respond(200, {"data": view})
