"""`/v1/functions/{id}/pause` and `/resume`, and the same for all functions at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from tidemill.engine.runs.paused import look_again
from tidemill.model import Pause
from tidemill.ports import World
from tidemill_lambdas.api import bodies, functions
from tidemill_lambdas.http import Refused, Response
from tidemill_lambdas.router import Call
from tidemill_lambdas.work import Work

_PAGES = 10  # of held runs that a call sees to; the others are seen to in the background
_BY = "an API call"


def pause(call: Call) -> Response:
    spec = functions.spec_of(call)
    _pause(call, [spec.id])
    return functions.one(call)


def pause_all(call: Call) -> Response:
    _pause(call, [spec.id for spec in call.world.registry.functions()])
    return functions.page(call)


def resume(call: Call) -> Work:
    spec = functions.spec_of(call)
    bodies.fields(call, optional=True)
    yield from _resumed(call.world, spec.id)
    return functions.one(call)


def resume_all(call: Call) -> Work:
    bodies.fields(call, optional=True)
    yield from _resumed(call.world)
    return functions.page(call)


def _pause(call: Call, function_ids: Iterable[str]) -> None:
    """A function that is paused stays so since then; only what becomes of its events may change."""
    events = bodies.fields(call, "events", optional=True).get("events", "keep")
    if events not in ("keep", "drop"):
        raise Refused(400, "events must be 'keep' (they run on resume) or 'drop' (they leave skipped runs)")
    before = call.world.pauses.all()
    for function_id in function_ids:
        was = before.get(function_id)
        if was is None or was.events != events:
            at = was.at if was is not None else call.world.clock.now()
            call.world.pauses.pause(function_id, Pause(at, _BY, events))


def _resumed(world: World, one: str | None = None) -> Iterator[None]:
    """Without `one`, all that are paused."""
    paused = world.pauses.all()
    wanted = [one] if one is not None else list(paused)
    for function_id in wanted:
        if function_id in paused:
            world.pauses.resume(function_id)
    for function_id in wanted:
        yield from islice(look_again(world, function_id), _PAGES)
