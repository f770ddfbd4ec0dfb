"""The operations of simulated programs: an interpreter, written once for `def` and `async def` functions.

Each operation is a list that begins with its kind, and gives what the code was given; a run's output is the list of
these. What an operation gave is noted (`Probe.saw`): every replay must be given the same, and take the same branches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from tidemill import NonRetriableError, RetryAfterError, StepError, Wait

if TYPE_CHECKING:
    from simulation.scenario import Op


class Probe(Protocol):
    """What the simulation is told of the code that runs."""

    def body(self, run_id: str, step: str, attempt: int) -> None:
        """A step's code runs; here its process may die, or stand still."""
        ...

    def wrong(self, problem: str) -> None:
        """Code was given what it must not be given."""
        ...

    def saw(self, run_id: str, what: str, value: Any) -> None:
        """The code was given this value, and takes its way by it."""
        ...


class Plain:
    """`ctx.step` of a `def` function, to be awaited; nothing is ever waited for."""

    def __init__(self, step: Any) -> None:
        self._step = step

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._step, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("code of a plain function awaited something")


class Code:
    """One execution of a program's code."""

    def __init__(self, ctx: Any, probe: Probe, is_async: bool) -> None:
        self.ctx = ctx
        self.probe = probe
        self.is_async = is_async
        self.step = ctx.step if is_async else Plain(ctx.step)

    async def run(self, ops: list[Op]) -> list[Any]:
        return [await self.one(op) for op in ops]

    async def one(self, op: Op) -> Any:
        try:
            value = await KINDS[op[0]](self, *op[1:])
        except StepError as error:
            value = ["failed", error.type]
        if isinstance(op[1], str) and op[0] != "tagged":
            self.probe.saw(self.ctx.run_id, op[1], value)
        return value

    def call(self, ops: list[Op]) -> Callable[[], Any]:
        """A branch."""
        return lambda: self.run(ops) if self.is_async else finished(self.run(ops))

    def as_step(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The code of a step, sync or async as its function is."""
        if not self.is_async:
            return body

        async def code(*args: Any) -> Any:
            return body(*args)

        return code

    def attempt(self, id: str) -> int:
        number: int = self.ctx.attempt
        self.probe.body(self.ctx.run_id, id, number)
        return number


async def _run(code: Code, id: str, fails: int, bytes: int = 0) -> Any:
    def body() -> list[Any]:
        attempt = code.attempt(id)
        if attempt <= fails:
            raise ValueError(f"attempt {attempt} of {id}")
        return [id, attempt, "x" * bytes] if bytes else [id, attempt]

    return await code.step.run(id, code.as_step(body))


async def _tagged(code: Code, id: str, tag: str) -> Any:
    """A step whose id may be, or look like, another's: it must have its own result all the same."""

    def body() -> list[Any]:
        code.attempt(tag)
        return [tag, 1]

    found = await code.step.run(id, code.as_step(body))
    if found[0] != tag:
        code.probe.wrong(f"run {code.ctx.run_id}: {tag} was given the result of {found[0]}")
    return found


async def _boom(code: Code, id: str) -> Any:
    def body() -> None:
        code.attempt(id)
        raise NonRetriableError(f"{id} never works")

    return await code.step.run(id, code.as_step(body))


async def _later(code: Code, id: str, fails: int, seconds: float) -> Any:
    """A step whose error names the time of the next attempt."""

    def body() -> list[Any]:
        attempt = code.attempt(id)
        if attempt <= fails:
            raise RetryAfterError(seconds)
        return [id, attempt]

    return await code.step.run(id, code.as_step(body))


async def _raise(code: Code, attempts: int) -> Any:
    if code.ctx.attempt <= attempts:
        raise RuntimeError("between steps")
    return "raised"


async def _sleep(code: Code, id: str, ms: int) -> Any:
    return await code.step.sleep(id, ms / 1_000)


async def _wait(code: Code, id: str, name: str, how: str, timeout: int | None, lookback: bool) -> Any:
    found = await code.step.wait_for_event(id, name, **CONDITIONS[how], timeout=_seconds(timeout), lookback=lookback)
    return None if found is None else found.id


async def _loop(code: Code, id: str, times: int, name: str, how: str, timeout: int) -> Any:
    """The same wait again and again, until it is given nothing."""
    found: list[Any] = []
    for _ in range(times):
        event = await code.step.wait_for_event(id, name, **CONDITIONS[how], timeout=_seconds(timeout))
        if event is None:
            break
        found.append(event.id)
    return found


async def _any(code: Code, id: str, timeout: int) -> Any:
    waits = {"a": Wait("e/news", match="user.id"), "b": Wait("e/other", when="async.data.n > 5")}
    found = await code.step.wait_for_any(id, waits, timeout=_seconds(timeout))
    return None if found is None else [found[0], found[1].id]


async def _signal(code: Code, id: str, signal: str, timeout: int | None) -> Any:
    return await code.step.wait_for_signal(id, signal, timeout=_seconds(timeout))


async def _invoke(code: Code, id: str, function: str, timeout: int | None) -> Any:
    return await code.step.invoke(id, f"sim.{function}", {"from": code.ctx.run_id}, timeout=_seconds(timeout))


async def _send(code: Code, id: str, count: int, ahead: int = 0) -> Any:
    event: dict[str, Any] = {"name": "e/news", "user": {"id": "ann"}}
    if ahead:
        event["ts"] = code.ctx.event.ts + ahead
    return await code.step.send_event(id, [{**event, "data": {"n": n}} for n in range(count)])


async def _map(code: Code, id: str, count: int, most: int | None) -> Any:
    def item(n: int) -> int:
        code.attempt(f"{id}[{n}]")
        if n == 3 and code.ctx.attempt == 1:
            raise ValueError("the third item fails once")
        return n * n

    return await code.step.map(id, code.as_step(item), list(range(count)), max_concurrency=most)


async def _parallel(code: Code, branches: list[list[Op]]) -> Any:
    return await code.step.parallel(*map(code.call, branches))


async def _race(code: Code, id: str, branches: list[list[Op]]) -> Any:
    """The first branch decides what is done next; the others are given up."""
    tasks = [asyncio.ensure_future(code.run(ops)) for ops in branches]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    won = [number for number, task in enumerate(tasks) if task in done]
    for task in rest:
        task.cancel()
    code.probe.saw(code.ctx.run_id, f"{id} is won by", won)
    return [won, await _run(code, f"{id}-{won}", 0)]


async def _order(code: Code, id: str, branches: list[list[Op]]) -> Any:
    """What is done next depends on the order in which the branches end."""

    async def branch(number: int, ops: list[Op]) -> int:
        await code.run(ops)
        return number

    tasks = [branch(number, ops) for number, ops in enumerate(branches)]
    order = [await each for each in asyncio.as_completed(tasks)]
    code.probe.saw(code.ctx.run_id, f"{id} ends in the order", order)
    return [order, await _run(code, f"{id}-{order}", 0)]


async def _group(code: Code, branches: list[list[Op]]) -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(code.run(ops)) for ops in branches]
    return [task.result() for task in tasks]


CONDITIONS: dict[str, dict[str, Any]] = {
    "match": {"match": "user.id"},
    "when": {"when": "async.user.id == event.user.id && async.data.n > 1"},
    "all": {},
    "other": {"when": "async.data.n > event.data.n"},
}

KINDS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "run": _run,
    "tagged": _tagged,
    "boom": _boom,
    "later": _later,
    "raise": _raise,
    "sleep": _sleep,
    "wait": _wait,
    "loop": _loop,
    "any": _any,
    "signal": _signal,
    "invoke": _invoke,
    "send": _send,
    "map": _map,
    "parallel": _parallel,
    "race": _race,
    "order": _order,
    "group": _group,
}


def _seconds(ms: int | None) -> float | None:
    return ms / 1_000 if ms is not None else None
