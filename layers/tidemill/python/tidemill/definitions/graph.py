"""The graph of a definition: checks the edges between its steps, each by itself and then all together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill import duration, limits
from tidemill.core.expression import ExpressionError
from tidemill.core.graph import TRIGGER, Awaited, Edge, Graph, Node, cycle
from tidemill.core.match import check as check_match
from tidemill.declare.problems import Problems
from tidemill.definitions.expressions import ASYNC, STEPS, rooted, steps_named
from tidemill.definitions.schema import nearest
from tidemill.definitions.strict_json import join
from tidemill.sdk.name_rules import awaited_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Reading = tuple[str, str, str]  # the place of an expression, the expression, and the step that its edge comes from

_CIRCLES = 10
_NOWHERE = ""  # the source of an edge that names none


def nodes_of(steps: dict[str, Any], problems: Problems) -> dict[str, Node]:
    """The steps and their edges, whose shape has been checked, by id."""
    nodes: dict[str, Node] = {}
    readings: list[Reading] = []
    for id, step in steps.items():
        where = join("steps", id)
        edges: list[Edge] = []
        for index, given in enumerate(step.get("after", ())):
            edge = _edge(given or {}, f"{where}.after[{index}]", problems)
            edges.append(edge)
            readings += _readings(edge, f"{where}.after[{index}]")
        nodes[id] = Node(id, tuple(edges) or (Edge(),), step.get("join", "all"))
    _check_sources(nodes, problems)
    _check_readings(readings, _check_circles(nodes, problems), problems)
    return nodes


def _edge(given: dict[str, Any], where: str, problems: Problems) -> Edge:
    condition = rooted(given["if"], STEPS, f"{where}.if", problems) if "if" in given else None
    wait = _wait(given["wait"], f"{where}.wait", problems) if "wait" in given else None
    awaits = _awaited(given["async"], f"{where}.async", problems) if given.get("async") else None
    return Edge(given.get("step", _NOWHERE), condition, wait, awaits)


def _wait(given: float | str, where: str, problems: Problems) -> int | str | None:
    """A duration, or an expression that gives one: text that is not a duration must be an expression."""
    try:
        duration.parse(given)
    except ValueError as error:
        if not isinstance(given, str):
            problems.add(where, str(error))
            return None
        tried = Problems()
        written = rooted(given, STEPS, where, tried)
        if written is None:
            why = tried.found[0].removeprefix(f"{where}: ")
            problems.add(where, f"{given!r} is no duration such as '5m', and no CEL that gives one: {why}")
        return written
    return problems.duration(where, given, most=limits.SLEEP)


def _awaited(given: dict[str, Any], where: str, problems: Problems) -> Awaited:
    event = given.get("event", "")
    if event:
        problems.note(f"{where}.event", awaited_problem(event))
    ttl = problems.duration(f"{where}.ttl", given["ttl"], most=limits.SLEEP) if "ttl" in given else None
    when = _match(given["match"], f"{where}.match", problems) if "match" in given else None
    return Awaited(event, ttl, when, given.get("onTimeout", False))


def _match(given: str, where: str, problems: Problems) -> str | None:
    """CEL; or a path alone, which as everywhere must hold the same value in both events."""
    try:
        check_match(match=given)
    except ExpressionError:
        return rooted(given, ASYNC, where, problems)
    return f"async.{given} == event.{given}"


def _readings(edge: Edge, where: str) -> Iterator[Reading]:
    if edge.condition is not None:
        yield f"{where}.if", edge.condition, edge.source
    if isinstance(edge.wait, str):
        yield f"{where}.wait", edge.wait, edge.source


def _check_sources(nodes: dict[str, Node], problems: Problems) -> None:
    for id, node in nodes.items():
        for index, edge in enumerate(node.after):
            if edge.source not in (TRIGGER, _NOWHERE) and edge.source not in nodes:
                hint = nearest(edge.source, [TRIGGER, *nodes]) or f"; there are {_few(nodes)}"
                where = f"{join('steps', id)}.after[{index}].step"
                problems.add(where, f"there is no step {edge.source!r}{hint}")


def _check_circles(nodes: dict[str, Node], problems: Problems) -> dict[str, Node]:
    """The graph without the edges that close a circle; each circle is named once, at one of them.

    After the first few circles it reports no more, and returns no graph."""
    told = 0
    while found := cycle(nodes):
        told += 1
        if told > _CIRCLES:
            return {}
        source, id = found[-2:]
        after = list(nodes[id].after)
        indexes = [index for index, edge in enumerate(after) if edge.source == source]
        where = f"{join('steps', id)}.after[{indexes[0]}].step"
        problems.add(where, f"the steps wait for each other in a circle: {' -> '.join(found)}")
        for index in indexes:
            after[index] = Edge(_NOWHERE)
        nodes = {**nodes, id: Node(id, tuple(after))}
    return nodes


def _check_readings(readings: Iterable[Reading], nodes: dict[str, Node], problems: Problems) -> None:
    """An expression may read the outputs of its edge's source and of the steps that this depends on: no other step is
    certain to have ended when the expression is evaluated."""
    if not nodes:
        return
    known = {TRIGGER, *nodes}
    whole = (Node(id, tuple(edge for edge in node.after if edge.source in known)) for id, node in nodes.items())
    before = Graph(whole).before
    for where, text, source in readings:
        if source not in known:
            continue
        seen = frozenset[str]() if source == TRIGGER else before[source] | {source}
        for name in dict.fromkeys(steps_named(text)):
            if name not in nodes:
                problems.add(where, f"there is no step {name!r}{_hint(name, nodes)}")
            elif name not in seen:
                after = "the trigger" if source == TRIGGER else repr(source)
                why = f"an edge from {after} knows {f'the output of {_few(seen)}' if seen else 'the event alone'}"
                problems.add(where, f"the output of {name!r} has no value here: {why}")


def _hint(name: str, nodes: dict[str, Node]) -> str:
    hyphened = next((id for id in nodes if id.startswith(f"{name}-")), None)
    if hyphened is not None:  # steps.step-1 is `steps.step` less 1
        return f"; a hyphen is written steps[{hyphened!r}]"
    return nearest(name, nodes)


def _few(ids: Iterable[str]) -> str:
    names = [repr(id) for id in ids]
    return ", ".join([*sorted(names[:8]), *(["…"] if len(names) > 8 else [])])
