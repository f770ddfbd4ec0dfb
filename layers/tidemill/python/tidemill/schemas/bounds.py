"""How much work a schema may make of the data that it checks.

A small schema can ask for very much: references that double at each step, or a recursion that looks at the same part
of the data along two ways at each level, which at a hundred levels is 2^100. Both are seen in the schema itself, so
they are refused when it is declared, and no event has to be given up on.

The schema is a graph: from each schema arrows lead to those that it applies to the same value (`here`: allOf, $ref …)
and to those that it applies to a part of it. A cycle of `here` alone would never end. In a cycle through parts, two
ways from one schema back into the cycle that may meet at the same part are what doubles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from tidemill.schemas.walk import REFERENCES, Pointer, Where, at, inner, shown, target

MOST_APPLIED = 20_000  # schemas that one value, with all of its parts named by the schema, may be held against


class _Arrow(NamedTuple):
    to: Pointer
    where: Where
    part: str  # the part of the value: a member's name, or empty for any


Graph = dict[Pointer, list[_Arrow]]


def problem(root: Any) -> str | None:
    """Why checking data against this schema would not end, or take too long. Its references lead somewhere."""
    graph = _graph(root)
    groups = _groups(graph)
    cycles = [group for group in groups if len(group) > 1 or _leads_to_itself(graph, group[0])]
    for cycle in cycles:
        ring = _ring(graph, cycle)
        if ring is not None:
            return f"refers to itself at {shown(ring)} without going down into the data, so that it would never end"
    for cycle in cycles:
        doubled = _doubled(graph, frozenset(cycle))
        if doubled is not None:
            return (
                f"comes back to {shown(doubled)} along two ways for the same data, so that each level of the data would"
                " double the work; let one way lead back"
            )
    applied = _applied(graph, groups)
    if applied > MOST_APPLIED:
        return (
            f"applies {applied:,} schemas to one value, its references followed, more than {MOST_APPLIED:,}; let fewer"
            " references lead to references"
        )
    return None


def _graph(root: Any) -> Graph:
    graph: Graph = {}
    waiting: list[Pointer] = [()]
    while waiting:
        place = waiting.pop()
        if place not in graph:
            graph[place] = list(_arrows(root, place))
            waiting += [arrow.to for arrow in graph[place]]
    return graph


def _arrows(root: Any, place: Pointer) -> Iterator[_Arrow]:
    schema: Any = at(root, place)
    for found in inner(schema):
        if found.where != "kept":
            part = str(found.place[1]) if found.place[0] == "properties" else ""
            yield _Arrow((*place, *found.place), found.where, part)
    if isinstance(schema, dict):
        given = cast("dict[str, object]", schema)
        for reference in (given[key] for key in REFERENCES if key in given):
            if (to := target(root, str(reference))) is not None:
                yield _Arrow(to, "here", "")


def _groups(graph: Graph) -> list[list[Pointer]]:
    """The strongly connected parts, those first that others lead to (Tarjan, without recursion)."""
    number: dict[Pointer, int] = {}
    low: dict[Pointer, int] = {}
    stack: list[Pointer] = []
    on_stack: set[Pointer] = set()
    groups: list[list[Pointer]] = []
    work: list[tuple[Pointer, Iterator[_Arrow]]] = []

    def enter(place: Pointer) -> None:
        number[place] = low[place] = len(number)
        stack.append(place)
        on_stack.add(place)
        work.append((place, iter(graph[place])))

    def leave(place: Pointer) -> None:
        work.pop()
        if work:
            low[work[-1][0]] = min(low[work[-1][0]], low[place])
        if low[place] == number[place]:
            at_place = stack.index(place)
            groups.append(stack[at_place:])
            on_stack.difference_update(stack[at_place:])
            del stack[at_place:]

    enter(())
    while work:
        place, arrows = work[-1]
        arrow = next(arrows, None)
        if arrow is None:
            leave(place)
        elif arrow.to not in number:
            enter(arrow.to)
        elif arrow.to in on_stack:
            low[place] = min(low[place], number[arrow.to])
    return groups


def _leads_to_itself(graph: Graph, place: Pointer) -> bool:
    return any(arrow.to == place for arrow in graph[place])


def _ring(graph: Graph, cycle: list[Pointer]) -> Pointer | None:
    """A place that leads back to itself without a part of the data between: what is left of those arrows when places
    that lead nowhere are taken away again and again."""
    inside = frozenset(cycle)
    left = {place: {each.to for each in graph[place] if each.where == "here" and each.to in inside} for place in cycle}
    while ends := [place for place, tos in left.items() if not tos]:
        for place in ends:
            del left[place]
        for tos in left.values():
            tos.difference_update(ends)
    return min(left, key=len) if left else None


def _doubled(graph: Graph, group: frozenset[Pointer]) -> Pointer | None:
    """A place in the cycle from which two ways lead back into it that may meet at one part of the data."""
    return next((place for place in sorted(group, key=shown) if _meet(_ways(graph, group, place))), None)


def _ways(graph: Graph, group: frozenset[Pointer], place: Pointer) -> list[_Arrow]:
    """The arrows into parts that lead back into the cycle, from here and from all that applies to the same value;
    one that is reached twice is there twice."""
    ways: list[_Arrow] = []
    waiting = [place]
    while waiting and len(ways) <= len(graph):
        for arrow in graph[waiting.pop()]:
            if arrow.to in group:
                if arrow.where == "here":
                    waiting.append(arrow.to)
                else:
                    ways.append(arrow)
    return ways


def _meet(ways: list[_Arrow]) -> bool:
    seen: set[tuple[Where, str]] = set()
    for arrow in ways:
        kinds = {(where, part) for where, part in seen if where == arrow.where}
        if any(arrow.part == part or not arrow.part or not part for _, part in kinds):
            return True
        seen.add((arrow.where, arrow.part))
    return False


def _applied(graph: Graph, groups: list[list[Pointer]]) -> int:
    """How many schemas a value meets, a recursion counted once."""
    applied: dict[Pointer, int] = {}
    for group in groups:
        members = frozenset(group)
        inside = len(group) + sum(applied[a.to] for place in group for a in graph[place] if a.to not in members)
        applied.update(dict.fromkeys(group, inside))
    return applied[()]
