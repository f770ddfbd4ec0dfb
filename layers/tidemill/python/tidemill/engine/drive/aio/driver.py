"""The driver of `ctx.step` for an `async def` function: performs steps' plans on the run's own event loop.

When is a run blocked, if its code may be any mixture of tasks? When its loop is about to wait for nothing: no callback
is ready, no timer is set, no file is watched, no step is at work, and at least one step is blocked (see `loop`).

Libraries have their own timers and sockets (a pool of connections, a heartbeat). While a step is blocked these have
`PATIENCE` to bring the code to its next step; then the run suspends anyway, because otherwise it would not learn that
its steps were resolved. That costs only a replay: awaits between steps start again each time anyway.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from tidemill import model
from tidemill.core.journal import Blocked, Resolved, StepDone
from tidemill.engine.drive import steps
from tidemill.engine.drive.aio.blocks import Blocks
from tidemill.engine.drive.aio.deadlock import Deadlock
from tidemill.engine.drive.aio.gate import LAST, Gate
from tidemill.engine.drive.aio.loop import BareTask, Loop, awaited, cancelling, follow
from tidemill.engine.drive.aio.pauses import Pauses
from tidemill.engine.drive.aio.remembered import Remembered
from tidemill.engine.drive.aio.threads import Threads
from tidemill.engine.drive.live import AttemptTimeout, Leaving, Left, LiveRun
from tidemill.engine.drive.replayed import Found, Replayed, enter, this_branch
from tidemill.engine.drive.steps import Asked, Awaited, Call, Code, Plan
from tidemill.limits import BLOCKING_CALLS
from tidemill.model import StepKind
from tidemill.sdk.event_view import view
from tidemill.sdk.step_async import BARE


class AsyncDriver(Remembered):
    """Implements `tidemill.sdk.step.AsyncStepDriver`."""

    def __init__(self, live: LiveRun, *, seeking: str | None = None) -> None:
        self.live = live
        self.replayed = Replayed(live, seeking=seeking is not None or live.watch is not None)
        self.found: Found | None = None
        self._seeking = seeking if live.watch is None else ""  # no step has that key
        self._working = 0
        self._handing = False  # the run is handed over as soon as no step is at work
        self._blocks = Blocks(self._can_go_on)
        self._main: asyncio.Task[Any] | None = None
        self._gate = Gate(self.replayed)
        self._turn = 0  # the turn of the next outcome for the code
        self._loop: Loop
        self._deadlock: Deadlock | None
        self.left_nothing = False  # the code left nothing behind that may still have come to a step
        self._threads = Threads()
        self._places = asyncio.Semaphore(BLOCKING_CALLS)
        self._unclaimed: dict[str, BareTask] = {}  # delivered to a task whose result may never be read
        self._certain = False  # nothing but new steps can lead to those that the code has yet to reach
        self._pauses = Pauses()

    def complete(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run `main` on a separate loop, to its end or until the run is left."""
        self._loop = Loop(self.idle, _BARE)
        self._deadlock = Deadlock(self._loop) if self.live.host is not None and self.live.host.deadlocks else None
        if self.replayed.uncalled:
            self._loop.hold()
        self.live.on_news = self._hear
        try:
            self._main = self._loop.create_task(main)
            self._loop.watching = True
            if self.live.watch is not None:
                self.live.watch.task = self._main
                self.live.watch.stop = lambda: self._loop.call_soon_threadsafe(self._left_as, "suspended")
            value = self._loop.run_until_complete(self._main)
            self.left_nothing = self._loop.tasks == 0
            self.replayed.ahead.cancelled = self._loop.cancelled
            return value
        except asyncio.CancelledError:
            self.live.check()
            raise RuntimeError("the function cancelled itself") from None
        except BaseExceptionGroup:
            self.live.check()  # a TaskGroup wraps the exception by which the code is left
            raise
        finally:
            self._loop.watching = False
            self._threads.shutdown()
            self._loop.wind_up()
            if self._deadlock is not None and self._deadlock.found is not None and self.live.leaving is None:
                raise self._deadlock.found  # whatever the code made of being cancelled

    async def run(
        self,
        id: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        retries: int | None,
        timeout: int | None,
    ) -> Any:
        here = this_branch()
        key = here.key(id)
        code = Code(self.live.stubs.get(id, fn), args, kwargs, retries, timeout)
        return await self._outcome(key, "run", partial(steps.run, self.live, here.prefix, key, code))

    async def sleep(self, id: str, ms: int) -> None:
        await self._sleep(id, ms, None)

    async def sleep_until(self, id: str, at: int) -> None:
        await self._sleep(id, 0, at)

    async def _sleep(self, id: str, ms: int, at: int | None) -> None:
        key = this_branch().key(id)
        if await self._recall(key, "sleep") is None:
            until = at if at is not None else self.live.clock.now() + ms
            await self._perform(steps.sleep(self.live, key, until), key)

    async def wait(
        self, id: str, waits: Asked, timeout: int | None, lookback: bool, shares: bool = False
    ) -> tuple[str, model.Event] | None:
        key = this_branch().key(id)
        found: tuple[str, model.Event] | None = await self._outcome(
            key,
            "wait",
            lambda: steps.wait(self.live, key, Awaited("wait", waits, timeout, lookback, shares)),
            waits[0][1],
        )
        return found

    async def signal(self, id: str, signal: str, timeout: int | None) -> Any:
        key = this_branch().key(id)
        asked = (("", signal, None, None),)
        plan = partial(steps.wait, self.live, key, Awaited("signal", asked, timeout, True))
        found = await self._outcome(key, "signal", plan, signal)
        return view(found[1]).data["data"] if found is not None else None

    async def invoke(self, id: str, function_id: str, data: Any, timeout: int | None) -> Any:
        key = this_branch().key(id)
        plan = partial(steps.invoke, self.live, key, function_id, data, timeout)
        return await self._outcome(key, "invoke", plan, function_id)

    async def send(self, id: str, events: list[dict[str, Any]]) -> list[str]:
        key = this_branch().key(id)
        known = await self._recall(key, "send")
        sent: list[str] = (
            steps.sent(known) if known is not None else await self._perform(steps.send(self.live, key, events), key)
        )
        return sent

    async def map(self, id: str, fn: Callable[[Any], Any], items: list[Any], max_concurrency: int | None) -> list[Any]:
        key = this_branch().key(id)
        if key == self._seeking:
            self.found = Found(fn, contextvars.copy_context())
            raise self._leave("suspended")
        plan = partial(steps.map_items, self.live, key, items, max_concurrency)
        results: list[Any] = await self._outcome(key, "map", plan)
        return results

    async def skip(self, ids: list[str]) -> None:
        """Remember that these steps will not run."""
        here = this_branch()
        keys = [here.key(id) for id in ids]
        new = [key for key in keys if await self._recall(key, "run") is None]
        if new:
            await self._perform(steps.skip(self.live, new), ids[0])

    async def parallel(self, calls: tuple[Callable[[], Any], ...]) -> list[Any]:
        self.live.check()
        scopes = this_branch().branches(len(calls))
        tasks = [asyncio.ensure_future(follow(*each)) for each in zip(calls, scopes, strict=True)]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        self.live.check()
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return list(ends)

    async def _outcome(self, key: str, kind: StepKind, plan: Callable[[], Plan], target: str = "") -> Any:
        known = await self._recall(key, kind, target)
        return steps.outcome(known) if known is not None else await self._perform(plan(), key)

    async def _recall(self, key: str, kind: StepKind, target: str = "") -> StepDone | Resolved | None:
        """The outcome of this step, if it has ended, delivered in its turn."""
        self._claim()
        known = self.replayed.recall(key, kind, target)
        if known is not None:
            await self._told(key)
        elif self._gate.closed:
            await self._gate.passed(LAST, key)
            self.live.check()
        return known

    async def _told(self, key: str) -> None:
        """Wait for the turn of this step's outcome; then the code receives it."""
        turn = self.live.state.completion_order.get(key, 0)
        if self._loop.tasks != 1 or turn != self._turn:  # else the code is a single task without a race
            self._loop.hold()
            await self._gate.passed(turn, key)
            self.live.check()
        self._turn = turn + 1
        self.replayed.coverage.told("", key)
        task = asyncio.current_task()
        if isinstance(task, BareTask):
            self._unclaimed[key] = task
        else:
            self.live.give(key)

    def _claim(self) -> None:
        """What tasks were told that nobody has asked is given to nobody."""
        for key in [key for key, task in self._unclaimed.items() if task.asked > 0]:
            del self._unclaimed[key]
            self.live.give(key)

    async def _perform(self, plan: Plan, key: str) -> Any:
        self.live.check()
        if self._seeking is not None:
            call = self.replayed.stops(plan, key, "" if self._certain else _NO_SCOPE)
            if call is not None:
                await self._call(call, key)
            await self._block(Blocked(key, "run", 0))
        try:
            value = await self._carry_out(plan, key)
        except Exception:
            if key in self.live.state.completion_order:
                await self._told(key)
            raise
        except Left:
            self._stop_main()  # code that awaits this branch must not take it for one that ended
            raise
        if key in self.live.state.completion_order:
            await self._told(key)
        return value

    def _begins(self, key: str) -> None:
        """The code begins a step that the journal does not know."""
        self.replayed.ahead.cancelled = self._loop.cancelled
        if self._certain and not self.replayed.ahead.begins(key, "", self.replayed.place):
            raise self._leave("superseded")

    async def _carry_out(self, plan: Plan, key: str) -> Any:
        step: Call | Blocked | None = None
        try:
            step = next(plan)
            self._begins(key)
            while True:
                try:
                    answer = await (self._call(step, key) if isinstance(step, Call) else self._block(step))
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as stop:
            if step is None:
                self._begins(key)
            return stop.value

    async def _call(self, call: Call, key: str) -> Any:
        if inspect.iscoroutinefunction(call.fn):
            return await self._attempt(call, key)
        async with self._places:  # the timeout of a step counts from when it begins
            return await self._attempt(call, key)

    async def _attempt(self, call: Call, key: str) -> Any:
        if self.live.stopping():
            self.live.blocked[key] = Blocked(key, "run", self.live.clock.now())
            await self._hand_over()
        self._working += 1
        self._pauses.at_steps()
        limit = asyncio.timeout(call.timeout / 1_000 if call.timeout is not None else None)
        try:
            async with limit:
                return await self._result(call, key)
        except TimeoutError:
            if limit.expired():
                raise AttemptTimeout(f"the step took longer than its timeout of {call.timeout} ms") from None
            raise
        except SystemExit as stop:
            raise RuntimeError(f"the step called sys.exit({stop.code!r})") from stop
        except asyncio.CancelledError as cancelled:
            if cancelling():
                raise
            raise RuntimeError("the step awaited what had been cancelled") from cancelled
        finally:
            self._working -= 1

    async def _result(self, call: Call, key: str) -> Any:
        """In a copy of the code's context; a plain function in a thread, as what blocks must not stop the loop."""
        context = contextvars.copy_context()
        context.run(enter, self.live, key, call.attempt)
        if inspect.iscoroutinefunction(call.fn):
            result = context.run(call.fn, *call.args, **call.kwargs)
        else:
            blocking = partial(context.run, call.fn, *call.args, **call.kwargs)
            result = await self._loop.run_in_executor(self._threads, blocking)
        if not inspect.isawaitable(result):
            return result
        work = result if inspect.iscoroutine(result) else awaited(result)
        return await self._loop.create_task(work, context=context)

    async def _block(self, blocked: Blocked) -> None:
        live = self.live
        live.check()
        live.blocked[blocked.key] = blocked
        self._pauses.at_steps()
        try:
            await self._blocks.wait(blocked)
        except asyncio.CancelledError:
            if live.leaving is None:  # the code itself gave up: nothing is blocked here any more
                del live.blocked[blocked.key]
            raise
        live.check()
        del live.blocked[blocked.key]

    async def _hand_over(self) -> None:
        """Leave, but let the executing steps end first: their results must be recorded."""
        if not self._working:
            raise self._leave("handed over")
        self._handing = True
        await self._loop.create_future()  # until the main task is cancelled

    def _leave(self, how: Any) -> Left:
        if self.live.leaving is None:
            self._stop_main()
        return self.live.leave(how)

    def _stop_main(self) -> None:
        if self._main is not None and asyncio.current_task() is not self._main:
            self._main.cancel()

    def idle(self, watched: bool, timeout: float | None) -> float | None:
        """The loop is about to wait. How long it may at most; 0 after something was made ready."""
        if self._blocks.resume():
            return 0
        if timeout is not None and not self._working and self._gate.untimely():
            self._loop.jump(timeout)
            return 0
        if not self._gate.telling and self._loop.release():
            return 0
        self._certain = not (watched or timeout is not None or self._loop.working or self._working)
        if self._gate.open():
            return 0
        if self.live.leaving is not None and not (self._working or watched or timeout is not None):
            return self._left_as(self.live.leaving)  # a task has left; others may still be waiting for what never comes
        if self.live.leaving is None and not self._working:
            if self._handing:
                return self._left_as("handed over")
            if self._blocks:
                patience = self._pauses.patience(self._loop.time()) if watched or timeout is not None else 0
                if patience <= 0:
                    return self._suspend()
                timeout = patience if timeout is None else min(timeout, patience)
            elif self._deadlock is not None and self._main is not None and not watched and timeout is None:
                timeout = self._deadlock.wait(self._main)
        if self._working and self.live.leaving is None and self._blocks.hopeful:
            timeout = self._until_asked(timeout)
        until = self._blocks.next_time
        if until is None or timeout == 0:
            return timeout
        wait = max(0, until - self.live.clock.now()) / 1_000
        return wait if timeout is None else min(wait, timeout)

    def _until_asked(self, timeout: float | None) -> float:
        """How long the loop may wait until the next check for outsiders' records. 0: there are some."""
        left = self._pauses.until_asked(self._loop.time(), self.live.news_every)
        if left > 0:
            return left if timeout is None else min(left, timeout)
        try:
            self.live.hear_news()
        except Left:
            assert self._main is not None
            self._main.cancel()
        return 0

    def _hear(self) -> None:
        self._blocks.hear()
        self._gate.hear()

    def _suspend(self) -> float:
        self._pauses.at_steps()
        kept = self.live.park is not None and self._seeking is None and self.live.park()
        self._blocks.hear()
        return 0 if kept else self._left_as("suspended")

    def _left_as(self, how: Leaving) -> float:
        assert self._main is not None
        self.live.leave(how)
        self._main.cancel()
        return 0

    def _can_go_on(self, blocked: Blocked) -> bool:
        if self._seeking is not None:
            return False  # a part of a map only looks for its code in here: nothing of the whole is its to do
        if blocked.key in self.live.state.completion_order:
            return True
        return blocked.until is not None and blocked.until <= self.live.clock.now()


_NO_SCOPE = "~"  # of no branch: what the code awaits may still lead to the steps that it has yet to reach
_BARE = BARE | {AsyncDriver.signal.__code__}
