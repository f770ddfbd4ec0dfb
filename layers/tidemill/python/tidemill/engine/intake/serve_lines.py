"""Serves the lines of limits that a reload or a deploy has changed.

A raised limit has free places: they are given to the first in its lines. The runs in lines of a removed limit, or of
one with a new key, are woken, and join the right lines (`admit`). Turns of another throttle are given again, in their
order. All of it may be done twice, and stopped at any yield.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tidemill.core.flow import concurrency as places
from tidemill.engine.intake import admit
from tidemill.engine.runs import concurrency
from tidemill.model import FunctionSpec, Place
from tidemill.ports import RunQuery, World

_PAGE = 200


def changed(world: World, before: Sequence[FunctionSpec]) -> Iterator[None]:
    """Serve the lines of these functions, as they were declared before; the caller may do other work at each yield."""
    seen: set[str] = set()
    for was in before:
        spec = world.registry.function(was.id)
        if spec is None or was.flow == spec.flow:
            continue
        now = {places.family(spec, declared): declared for declared in places.in_order(spec)}
        then = {places.family(was, declared): declared for declared in places.in_order(was)}
        for family in {**then, **now}:
            if family not in seen and now.get(family) != then.get(family):
                seen.add(family)
                yield from _served(world, family, now.get(family))
        if was.flow.get("throttle") != spec.flow.get("throttle"):
            yield from _planned_anew(world, spec)


def at_start(world: World, families: Sequence[str], planned: Collection[str]) -> Iterator[None]:
    """Like `changed`, without knowledge of the earlier declarations.

    `families`: those with runs in line. `planned`: the functions with runs that wait for a planned turn.
    """
    specs = world.registry.functions()
    declared = {places.family(spec, limit): limit for spec in specs for limit in places.in_order(spec)}
    for family in families:
        yield from _served(world, family, declared.get(family))
    for spec in specs:
        if spec.id in planned:
            yield from _planned_anew(world, spec)


def _served(world: World, family: str, declared: dict[str, Any] | None) -> Iterator[None]:
    for key, label in world.flow.lines(family):
        if declared is not None:
            concurrency.serve(world, Place(key, declared["limit"], declared["counts"], label))
            yield
            continue
        for run_id, function_id in list(world.flow.in_line(key)):
            world.queue.wake(run_id, function_id)
            yield


def _planned_anew(world: World, spec: FunctionSpec) -> Iterator[None]:
    waiting: list[tuple[int, str]] = []
    cursor: tuple[int, str] | None = None
    while True:  # terminates: each page begins after the one before
        page = world.runs.page(RunQuery(function_id=spec.id, status="scheduled", limit=_PAGE, cursor=cursor))
        waiting += [(head.not_before or 0, head.run_id) for head in page if head.admission is not None]
        yield
        cursor = page.next_cursor(_PAGE, lambda head: (head.created_at, head.run_id))
        if cursor is None:
            break
    for _, run_id in sorted(waiting):
        admit.plan_anew(world, spec, run_id)
        yield
