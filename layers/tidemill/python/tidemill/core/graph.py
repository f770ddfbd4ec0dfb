"""The graph of a definition: its steps, the edges between them, and what can begin now.

Every edge ends in one of two ways: it is taken, or it is not. Every step ends in one of three: it has run, it has
failed for good, or it is skipped, because it can no longer run. The end of an edge or a step never changes, and its
consequences do not depend on other ends. So the order of ends does not matter, and a replay comes to the same graph:
the journal needs to remember only how the steps and waits of a graph have ended.

    join "all"   runs when all its edges have been taken; skipped when one is not
    join "any"   runs when one has been taken; skipped when none is

An edge from a skipped step is not taken. A failed step ends the whole graph: nothing more begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

TRIGGER = "$trigger"  # the source of the first steps

Join = Literal["all", "any"]


class Awaited(msgspec.Struct, frozen=True, omit_defaults=True):
    """The event that an edge waits for, at most `ttl` milliseconds; `when` is CEL over `event` and `async`.

    `on_timeout`: the edge is taken only if none comes.
    """

    event: str
    ttl: int | None = None
    when: str | None = None
    on_timeout: bool = False


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """`condition` is CEL over `event` and `steps`; `wait` is milliseconds, or CEL that gives a duration."""

    source: str = TRIGGER
    condition: str | None = None
    wait: int | str | None = None
    awaits: Awaited | None = None

    @property
    def plain(self) -> bool:
        """Whether the edge is taken as soon as its source has run."""
        return self.condition is None and self.wait is None and self.awaits is None


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    after: tuple[Edge, ...] = (Edge(),)
    join: Join = "all"


class EdgeId(NamedTuple):
    """The edge with this number among those that lead to a step."""

    step: str
    number: int


class Ready(NamedTuple):
    """`edges`: those whose source has run. `start`: steps that can begin. `skip`: steps that cannot run."""

    edges: list[EdgeId]
    start: list[str]
    skip: list[str]


class Graph:
    """Steps in an order in which each comes after its sources. Raises ValueError if there is no such order."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.id: node for node in nodes}
        found = cycle(self.nodes)
        if found:
            raise ValueError(f"the steps wait for each other in a circle: {' -> '.join(found)}")
        self.order = tuple(_rest(self.nodes)[0])

    def edge(self, id: EdgeId) -> Edge:
        return self.nodes[id.step].after[id.number]

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The steps without successors, in the order of their definition: their outputs are the run's output."""
        sources = {edge.source for node in self.nodes.values() for edge in node.after}
        return tuple(id for id in self.nodes if id not in sources)

    @cached_property
    def before(self) -> dict[str, frozenset[str]]:
        """By step, all the steps before it, whose outputs it receives."""
        found: dict[str, frozenset[str]] = {}
        for id in self.order:
            sources = {edge.source for edge in self.nodes[id].after} - {TRIGGER}
            found[id] = frozenset(sources).union(*(found[source] for source in sources))
        return found

    def ready(self, ended: Mapping[str, bool], taken: Mapping[EdgeId, bool], begun: Set[str]) -> Ready:
        """What can begin now. `ended`: by step, whether it has run (False: skipped); `begun`: steps, ended or not."""
        ready = Ready([], [], [])
        ran = {TRIGGER: True, **ended}
        for id in self.order:
            if id in ran or id in begun:
                continue
            edges = [
                self._end(EdgeId(id, number), edge, ran, taken) for number, edge in enumerate(self.nodes[id].after)
            ]
            settled = _settled(self.nodes[id].join, edges)
            if settled is True:
                ready.start.append(id)
            elif settled is False:
                ready.skip.append(id)
                ran[id] = False
            else:
                ready.edges.extend(
                    EdgeId(id, number)
                    for number, edge in enumerate(self.nodes[id].after)
                    if edges[number] is None and ran.get(edge.source)
                )
        return ready

    @staticmethod
    def _end(id: EdgeId, edge: Edge, ran: Mapping[str, bool], taken: Mapping[EdgeId, bool]) -> bool | None:
        """Whether the edge is taken; None while that is unknown."""
        source = ran.get(edge.source)
        if source is None or (source and not edge.plain):
            return taken.get(id)
        return source


def _settled(join: Join, edges: list[bool | None]) -> bool | None:
    """Whether a step with these edges runs; None while that is unknown."""
    if join == "all":
        return False if False in edges else None if None in edges else True
    return True if True in edges else None if None in edges else False


def cycle(nodes: Mapping[str, Node]) -> list[str]:
    """Steps that wait for each other in a circle, the first of them twice; empty if there are none."""
    rest = _rest(nodes)[1]
    path: list[str] = []
    here = next(iter(rest), None)
    while here is not None and here not in path:
        path.append(here)
        here = next(iter(rest[here]))  # each remaining step waits for another remaining one
    return [*path[path.index(here) :], here][::-1] if here is not None else []


def _rest(nodes: Mapping[str, Node]) -> tuple[list[str], dict[str, list[str]]]:
    """The steps in order, each after its sources, else as defined; and those without an order, with their sources."""
    rest = {id: [edge.source for edge in node.after if edge.source in nodes] for id, node in nodes.items()}
    order: list[str] = []
    while free := [id for id, sources in rest.items() if not sources]:
        order += free
        for id in free:
            del rest[id]
        rest = {id: [source for source in sources if source in rest] for id, sources in rest.items()}
    return order, rest
