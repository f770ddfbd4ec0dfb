"""The functions of a simulated team, declared as its users would declare them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulation.steps import Code, Probe, finished

from tidemill import App, Batch, CancelOn, Concurrency, Cron, Debounce, RateLimit, Singleton, Throttle, Timeouts
from tidemill import Event as On

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulation.scenario import Program

FLOW: dict[str, Any] = {
    "concurrency": lambda *each: [Concurrency(*one) for one in each],
    "throttle": Throttle,
    "rate_limit": RateLimit,
    "debounce": Debounce,
    "batch": Batch,
    "singleton": Singleton,
}


def build(programs: Sequence[Program], probe: Probe) -> App:
    app = App("sim")
    for program in programs:
        _declare(app, program, probe)
    return app


def _declare(app: App, program: Program, probe: Probe) -> None:
    options: dict[str, Any] = {"id": program.id, "retries": program.retries, "backoff": program.backoff}
    triggers = [On(program.on, when=program.when)] if program.on is not None else []
    if program.cron is not None:
        options["on"] = [*triggers, Cron(program.cron)]
    elif triggers:
        options["on"] = triggers
    if program.cancel_on is not None:
        options["cancel_on"] = [CancelOn(program.cancel_on, match="user.id")]
    if program.finish is not None or program.start is not None:
        options["timeouts"] = Timeouts(start=_seconds(program.start), finish=_seconds(program.finish))
    for feature, written in program.flow.items():
        options[feature] = FLOW[feature](*written) if feature in FLOW else written
    if program.on_failure:

        def handler(ctx: Any) -> str:
            return ctx.step.run("handled", lambda: ctx.event.data["run_id"])

        options["on_failure"] = handler
    if program.is_async:

        async def code(ctx: Any) -> list[Any]:
            _patched(ctx, "begin", probe)
            found = await Code(ctx, probe, True).run(program.ops)
            _patched(ctx, "end", probe)
            return found
    else:

        def code(ctx: Any) -> list[Any]:
            _patched(ctx, "begin", probe)
            found = finished(Code(ctx, probe, False).run(program.ops))
            _patched(ctx, "end", probe)
            return found

    app.function(**options)(code)


def _patched(ctx: Any, id: str, probe: Probe) -> None:
    """Code that never changes goes the new way from its first line on, whatever became of the executions before."""
    new = ctx.patched(id)
    probe.saw(ctx.run_id, f"patched {id}", new)
    if id == "begin" and not new:
        probe.wrong(f"run {ctx.run_id} was sent the old way at its first line")


def _seconds(ms: int | None) -> float | None:
    return ms / 1_000 if ms is not None else None
