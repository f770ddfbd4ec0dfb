"""Executes the graph of a definition: one async function, written once for all definitions.

Each edge that waits, and each step, is a task; when one has ended, `core.graph` says what can begin. Everything that
is remembered is remembered by `ctx.step`: steps under their ids, what an edge waits for under `source -> step`. Ends
are processed one by one in the order of the journal, in a replay as at first (see `driver_async`): so a condition that
reads outputs is asked when the same steps have ended, and gives the same answer.

A step that fails for good ends the whole graph: nothing more begins, edges are given up, and executing steps finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from tidemill import duration
from tidemill.core import expression
from tidemill.core.definition import Definition, StepSpec
from tidemill.core.graph import TRIGGER, Edge, EdgeId, Graph
from tidemill.engine.drive.aio.threads import in_thread
from tidemill.errors import NonRetriableError
from tidemill.limits import SLEEP
from tidemill.sdk.context import AsyncContext
from tidemill.sdk.event_view import plain
from tidemill.sdk.function import AsyncFunction
from tidemill.sdk.step_async import driver_of
from tidemill.task import Runtime, Task

Perform = Callable[[Runtime, Task], Coroutine[Any, Any, Any]]

_ROOTS = frozenset({"event", "steps"})


async def side_by_side(runtime: Runtime, task: Task) -> Any:
    """Programs are waited for in threads of their own."""
    return await in_thread(lambda: runtime(task))


def graph_function(
    definition: Definition, runtimes: Mapping[str, Runtime], perform: Perform = side_by_side
) -> AsyncFunction[Any, Any]:
    """The function of a definition; `runtimes` by the name of their kind, `perform` waits for one without blocking."""
    graph = Graph(step.node for step in definition.steps)

    async def run(ctx: AsyncContext[Any]) -> dict[str, Any]:
        return await _Run(definition, graph, runtimes, perform, ctx).complete()

    run.__name__ = run.__qualname__ = definition.spec.name
    return AsyncFunction(run, definition.spec)


class _Run:
    def __init__(
        self, definition: Definition, graph: Graph, runtimes: Mapping[str, Runtime], perform: Perform,
        ctx: AsyncContext[Any],
    ) -> None:  # fmt: skip
        self._definition = definition
        self._steps = {step.id: step for step in definition.steps}
        self._graph = graph
        self._runtimes = runtimes
        self._perform = perform
        self._ctx = ctx
        self._event = plain(ctx.event)
        self._outputs: dict[str, Any] = {}
        self._ended: dict[str, bool] = {}
        self._taken: dict[EdgeId, bool] = {}
        self._begun: set[str] = set()
        self._followed: set[EdgeId] = set()
        self._tasks: dict[asyncio.Task[Any], tuple[str | EdgeId, str]] = {}  # what it is of, and is remembered as

    async def complete(self) -> dict[str, Any]:
        try:
            await self._begin()
            while self._tasks:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=self._turn):
                    if task in self._tasks:  # else it was an edge that has been given up since
                        self._over(task)
                        await self._begin()
        except Exception:
            await self._let_end()
            raise
        return {id: self._outputs[id] for id in self._graph.leaves if id in self._outputs}

    async def _begin(self) -> None:
        """Begin all that can begin now."""
        moved = True
        while moved:
            ready = self._graph.ready(self._ended, self._taken, self._begun)
            if ready.skip:
                self._ended.update(dict.fromkeys(ready.skip, False))
                await driver_of(self._ctx.step).skip(ready.skip)
            for id in ready.start:
                self._begun.add(id)
                self._follow(id, id, self._run(self._steps[id]))
            self._give_up(lambda id: id.step in self._begun or id.step in self._ended)
            moved = sum(self._set_out(edge) for edge in ready.edges if edge not in self._followed) > 0

    def _set_out(self, id: EdgeId) -> bool:
        """Follow an edge from its source, which has run. True: that is all there was to do."""
        self._followed.add(id)
        edge = self._graph.edge(id)
        roots = {"event": self._event, "steps": self._known_to(edge)}
        if edge.condition is not None and not _compiled(edge.condition).holds(roots):
            self._taken[id] = False
        elif edge.wait is None and edge.awaits is None:
            self._taken[id] = True
        elif not self._given_up_before(id, edge):
            ms = None if edge.wait is None else _milliseconds(edge.wait, roots, id)
            self._follow(id, _last_name(id, edge), self._edge(id, edge, ms))
        return id in self._taken

    def _given_up_before(self, id: EdgeId, edge: Edge) -> bool:
        """Whether the journal knows the step, and not how this edge ended: it began, or was skipped, without it."""
        driver = driver_of(self._ctx.step)
        given_up = driver.known(id.step) and not driver.known(_last_name(id, edge))
        if given_up:
            driver.gives_up(_wait_name(id, edge))
        return given_up

    def _follow(self, of: str | EdgeId, told_as: str, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # where the code is left, nobody asks
        self._tasks[task] = (of, told_as)

    def _turn(self, task: asyncio.Task[Any]) -> int:
        return driver_of(self._ctx.step).completion_order(self._tasks[task][1])

    def _over(self, task: asyncio.Task[Any]) -> None:
        of, _ = self._tasks.pop(task)
        result = task.result()
        if isinstance(of, EdgeId):
            self._taken[of] = result
        else:
            self._outputs[of] = result
            self._ended[of] = True

    async def _let_end(self) -> None:
        """Give up what edges wait for, and let the steps that run end."""
        self._give_up(lambda _: True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _give_up(self, which: Callable[[EdgeId], bool]) -> None:
        """Wait no longer for these edges: whether they are taken makes no difference any more."""
        for task, (of, _) in list(self._tasks.items()):
            if isinstance(of, EdgeId) and which(of):
                del self._tasks[task]
                task.cancel()

    async def _edge(self, id: EdgeId, edge: Edge, ms: int | None) -> bool:
        """Whether the edge is taken, once its wait and its event have been seen to, in this order."""
        if ms is not None:
            await driver_of(self._ctx.step).sleep(_wait_name(id, edge), ms)
        awaited = edge.awaits
        if awaited is None:
            return True
        asked = (("", awaited.event, None, awaited.when),)
        found = await driver_of(self._ctx.step).wait(_async_name(id, edge), asked, awaited.ttl, True, True)
        return (found is None) == awaited.on_timeout

    def _known_to(self, edge: Edge) -> dict[str, Any]:
        """The outputs of the edge's source and of all that it hangs on: the same in every replay."""
        if edge.source == TRIGGER:
            return {}
        return self._of({edge.source, *self._graph.before[edge.source]})

    def _of(self, ids: set[str] | frozenset[str]) -> dict[str, Any]:
        return {id: output for id, output in self._outputs.items() if id in ids}

    async def _run(self, step: StepSpec) -> Any:
        runtime = self._runtimes[str(step.runtime.__struct_config__.tag)]
        given: dict[str, Any] = {"event": self._event, "steps": self._of(self._graph.before[step.id])}
        if len(self._ctx.events) > 1:
            given["events"] = [plain(event) for event in self._ctx.events]

        async def attempt() -> Any:
            about = {
                "function_id": self._ctx.function_id,
                "run_id": self._ctx.run_id,
                "step_id": step.id,
                "attempt": self._ctx.attempt,
            }
            task = Task(
                self._ctx.function_id, self._ctx.run_id, self._ctx.attempt, step, self._definition.folder,
                {**given, "ctx": about},
            )  # fmt: skip
            return await self._perform(runtime, task)

        return await driver_of(self._ctx.step).run(step.id, attempt, (), {}, step.attempts - 1, None)


def _wait_name(id: EdgeId, edge: Edge) -> str:
    return f"{edge.source} -> {id.step} (wait{_number(id)})"


def _async_name(id: EdgeId, edge: Edge) -> str:
    return f"{edge.source} -> {id.step} (async{_number(id)})"


def _number(id: EdgeId) -> str:
    return f" {id.number + 1}" if id.number else ""


def _last_name(id: EdgeId, edge: Edge) -> str:
    """What the last that the edge waits for is remembered as."""
    return _wait_name(id, edge) if edge.awaits is None else _async_name(id, edge)


def _compiled(text: str) -> expression.Expression:
    return expression.compile(text, _ROOTS, "event")


def _milliseconds(wait: int | str, roots: Mapping[str, Any], id: EdgeId) -> int:
    if isinstance(wait, int):
        return wait
    value = _compiled(wait).value(roots)
    try:
        ms = duration.parse(value)
    except (ValueError, TypeError):
        raise NonRetriableError(
            f"the wait before step {id.step!r}, '{wait}', gives no duration: write seconds, or text such as '5m'"
        ) from None
    if ms > SLEEP:
        raise NonRetriableError(
            f"the wait before step {id.step!r}, '{wait}', gives {duration.text(ms)}; "
            f"the longest is {duration.text(SLEEP)}"
        )
    return max(ms, 0)
