"""`/v1/functions`: the declared functions, their load, and how to start them without an event."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import manifest
from tidemill.duration import iso
from tidemill.engine.intake import receive
from tidemill.model import FunctionSpec, Pause
from tidemill_lambdas.api import bodies, places
from tidemill_lambdas.http import Refused, Response, respond
from tidemill_lambdas.router import Call


def page(call: Call) -> Response:
    specs = sorted(call.world.registry.functions(), key=lambda spec: spec.id)
    return respond(200, {"data": _views(call, specs), "cursor": None})


def one(call: Call) -> Response:
    return respond(200, {"data": _views(call, [spec_of(call)])[0]})


def invoke(call: Call) -> Response:
    spec = spec_of(call)
    data = bodies.json_object(bodies.fields(call, "data", optional=True), "data")
    run_id = receive.invoke(call.world, spec, data if data is not None else b"{}")
    return respond(202, {"data": {"run_id": run_id}})


def _views(call: Call, specs: list[FunctionSpec]) -> list[dict[str, Any]]:
    """As in the manifest, with `places`, and the numbers of runs: running, sleeping or waiting (`idle`), and
    scheduled."""
    declared: list[dict[str, Any]] = msgspec.json.decode(manifest.encode(specs))
    counts, idle = call.world.runs.counts(), call.world.runs.idle()
    paused = call.world.pauses.all()
    for spec, view in zip(specs, declared, strict=True):
        count = counts.get(view["id"], {})
        view["running"], view["backlog"] = count.get("running", 0), count.get("scheduled", 0)
        view["idle"] = idle.get(view["id"], 0)
        view.pop("pattern", None)  # the rule's pattern: it follows from the triggers
        view["paused"] = _paused(paused.get(view["id"]))
        view["places"] = places.view(call.world, spec)
    return declared


def _paused(pause: Pause | None) -> dict[str, Any] | None:
    return None if pause is None else {"at": iso(pause.at), "by": pause.by, "events": pause.events}


def spec_of(call: Call) -> FunctionSpec:
    function_id = call.path["function_id"]
    spec = call.world.registry.function(function_id)
    if spec is None:
        raise Refused(404, f"no function has the id {function_id[:300]!r}; GET /v1/functions lists them all")
    return spec
