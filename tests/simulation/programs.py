"""The code of simulated functions: an interpreter of programs, once sync and once async.

A program's output is the list of what each operation gave, so that what a run says in the end can be held against
what its journal remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    NonRetriableError,
    RateLimit,
    Singleton,
    StepError,
    Throttle,
    Timeouts,
    Wait,
)
from tidemill import Event as On

if TYPE_CHECKING:
    from simulation.scenario import Op, Program, Scenario

Body = Callable[[str, str, int], None]  # run id, step id, attempt: called while a step's code runs


FLOW: dict[str, Any] = {
    "concurrency": lambda *each: [Concurrency(*one) for one in each],
    "throttle": Throttle,
    "rate_limit": RateLimit,
    "debounce": Debounce,
    "batch": Batch,
    "singleton": Singleton,
}


def build(scenario: Scenario, body: Body) -> App:
    app = App("sim")
    for program in scenario.programs:
        _declare(app, program, body)
    return app


def _declare(app: App, program: Program, body: Body) -> None:
    options: dict[str, Any] = {"id": program.id, "retries": program.retries, "backoff": "1s"}
    if program.on is not None:
        options["on"] = On(program.on, when=program.when)
    if program.cancel_on is not None:
        options["cancel_on"] = [CancelOn(program.cancel_on, match="user.id")]
    if program.finish is not None:
        options["timeouts"] = Timeouts(finish=program.finish / 1_000)
    for feature, written in program.flow.items():
        options[feature] = FLOW[feature](*written) if feature in FLOW else written
    if program.on_failure:

        def handler(ctx: Any) -> str:
            return ctx.step.run("handled", lambda: ctx.event.data["run_id"])

        options["on_failure"] = handler
    if program.is_async:

        async def code(ctx: Any) -> list[Any]:
            return [await _do_async(ctx, op, body) for op in program.ops]
    else:

        def code(ctx: Any) -> list[Any]:
            return [_do(ctx, op, body) for op in program.ops]

    app.function(**options)(code)


def _attempt(ctx: Any, body: Body, id: str, fails: int) -> list[Any]:
    attempt = ctx.attempt
    body(ctx.run_id, id, attempt)
    if attempt <= fails:
        raise ValueError(f"attempt {attempt} of {id}")
    return [id, attempt]


async def _attempt_async(ctx: Any, body: Body, id: str, fails: int) -> list[Any]:
    return _attempt(ctx, body, id, fails)


async def _boom_async(ctx: Any, body: Body, id: str) -> None:
    _boom(ctx, body, id)


def _boom(ctx: Any, body: Body, id: str) -> None:
    body(ctx.run_id, id, ctx.attempt)
    raise NonRetriableError(f"{id} never works")


def _waits(op: Op) -> dict[str, Any]:
    how = {
        "match": {"match": "user.id"},
        "when": {"when": "async.user.id == event.user.id && async.data.n > 1"},
        "all": {},
        "other": {"when": "async.data.n > event.data.n"},
    }
    return how[op[3]]


def _seconds(ms: int | None) -> float | None:
    return ms / 1_000 if ms is not None else None


def _event(found: Any) -> Any:
    return None if found is None else found.id


def _do(ctx: Any, op: Op, body: Body) -> Any:
    kind, id = op[0], op[1]
    step = ctx.step
    if kind == "run":
        try:
            return step.run(id, _attempt, ctx, body, id, op[2])
        except StepError as error:
            return ["failed", error.type]
    if kind == "boom":
        try:
            return step.run(id, _boom, ctx, body, id)
        except StepError as error:
            return ["failed", error.type]
    if kind == "sleep":
        return step.sleep(id, op[2] / 1_000)
    if kind == "wait":
        return _event(step.wait_for_event(id, op[2], **_waits(op), timeout=_seconds(op[4]), lookback=op[5]))
    if kind == "any":
        waits = {"a": Wait("e/news", match="user.id"), "b": Wait("e/other", when="async.data.n > 5")}
        found = step.wait_for_any(id, waits, timeout=_seconds(op[2]))
        return None if found is None else [found[0], found[1].id]
    if kind == "signal":
        return step.wait_for_signal(id, op[2], timeout=_seconds(op[3]))
    if kind == "invoke":
        try:
            return step.invoke(id, f"sim.{op[2]}", {"from": ctx.run_id}, timeout=_seconds(op[3]))
        except StepError as error:
            return ["failed", error.type]
    if kind == "send":
        return step.send_event(id, [{"name": "e/news", "data": {"n": n}, "user": {"id": "ann"}} for n in range(op[2])])
    if kind == "map":
        try:
            return step.map(id, lambda n: _item(ctx, body, id, n), list(range(op[2])), max_concurrency=op[3])
        except StepError as error:
            return ["failed", error.type]
    if kind == "parallel":
        return step.parallel(*[lambda ops=ops: [_do(ctx, each, body) for each in ops] for ops in op[1]])
    if ctx.attempt <= op[1]:
        raise RuntimeError("between steps")
    return "raised"


async def _do_async(ctx: Any, op: Op, body: Body) -> Any:
    kind, id = op[0], op[1]
    step = ctx.step
    try:
        if kind == "run":
            return await step.run(id, _attempt_async, ctx, body, id, op[2])
        if kind == "boom":
            return await step.run(id, _boom_async, ctx, body, id)
        if kind == "invoke":
            return await step.invoke(id, f"sim.{op[2]}", {"from": ctx.run_id}, timeout=_seconds(op[3]))
        if kind == "map":
            return await step.map(id, lambda n: _item(ctx, body, id, n), list(range(op[2])), max_concurrency=op[3])
    except StepError as error:
        return ["failed", error.type]
    if kind == "sleep":
        return await step.sleep(id, op[2] / 1_000)
    if kind == "wait":
        return _event(await step.wait_for_event(id, op[2], **_waits(op), timeout=_seconds(op[4]), lookback=op[5]))
    if kind == "any":
        waits = {"a": Wait("e/news", match="user.id"), "b": Wait("e/other", when="async.data.n > 5")}
        found = await step.wait_for_any(id, waits, timeout=_seconds(op[2]))
        return None if found is None else [found[0], found[1].id]
    if kind == "signal":
        return await step.wait_for_signal(id, op[2], timeout=_seconds(op[3]))
    if kind == "send":
        events = [{"name": "e/news", "data": {"n": n}, "user": {"id": "ann"}} for n in range(op[2])]
        return await step.send_event(id, events)
    if kind == "parallel":

        async def branch(ops: list[Op]) -> list[Any]:
            return [await _do_async(ctx, each, body) for each in ops]

        return await step.parallel(*[lambda ops=ops: branch(ops) for ops in op[1]])
    if ctx.attempt <= op[1]:
        raise RuntimeError("between steps")
    return "raised"


def _item(ctx: Any, body: Body, id: str, n: int) -> int:
    body(ctx.run_id, f"{id}[{n}]", ctx.attempt)
    if n == 3 and ctx.attempt == 1:
        raise ValueError("the third item fails once")
    return n * n
