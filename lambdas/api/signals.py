"""`/v1/signals`: sends a signal (for example a person's approval) to the runs that wait for it."""

from __future__ import annotations

from tidemill.engine.intake import receive
from tidemill.ids import ulid
from tidemill.limits import EVENT_NAME_CHARS
from tidemill.sdk.name_rules import text_problem
from tidemill_lambdas.api import bodies
from tidemill_lambdas.http import Refused, respond
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work


def send(call: Call) -> Work:
    found = bodies.fields(call, "signal", "data")
    signal = found.get("signal")
    if not isinstance(signal, str):
        raise Refused(400, "signal must be text: the name that the waiting step gave")
    problem = text_problem(signal, "signal", EVENT_NAME_CHARS)
    if problem is not None:
        raise Refused(400, problem)
    data = found.get("data")
    bodies.small(data, "data")
    event_id = ulid(call.world.clock.now(), call.world.entropy.bytes(10))
    run_ids = yield from receive.signal_in_parts(call.world, signal, data, event_id)
    return respond(200, {"data": {"run_ids": run_ids}})
