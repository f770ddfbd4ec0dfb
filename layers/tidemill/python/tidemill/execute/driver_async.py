"""`ctx.step` for an `async def` function: the same plans, carried out on an event loop of the run's own.

When is a run blocked, if its code may be any mixture of tasks? When its loop is about to wait for nothing: no callback
is ready, no timer is set, no file is watched, no step is at work, and at least one step is blocked. The loop asks its
selector to wait in just that moment, so a selector is where to ask (`_IdleSelector`); no private part of asyncio
is touched.

Libraries keep timers and sockets of their own (a pool of connections, a heartbeat). While a step is blocked these have
`PATIENCE` to bring the code to its next step; then the run is left all the same, or it would hear nothing of what its
steps wait for. That costs nothing but a replay: what is awaited between steps is begun anew each time anyway.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import inspect
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

from tidemill import model
from tidemill.core.handed import knows
from tidemill.core.journal import Blocked, Resolved, StepDone
from tidemill.execute import plans
from tidemill.execute.live import AttemptTimeout, Leaving, Left, LiveRun
from tidemill.execute.plans import Call, Plan
from tidemill.execute.tape import Branch, Tape, attempt, branch, this_branch
from tidemill.execute.threads import in_thread
from tidemill.model import StepKind
from tidemill.received import view

PATIENCE = 2.0  # seconds
_LAST = 2**62  # the turn of what the journal does not remember

Asked = tuple[tuple[str, str, str | None, str | None], ...]


class AsyncDriver:
    """Implements `tidemill.step.AsyncStepDriver`."""

    def __init__(self, live: LiveRun, *, seeking: str | None = None) -> None:
        self.live = live
        self.tape = Tape(live)
        self.found: Callable[[Any], Any] | None = None
        self._seeking = seeking
        self._working = 0
        self._handing = False  # the run is handed over as soon as no step is at work
        self._waiting: dict[str, tuple[Blocked, asyncio.Future[None]]] = {}
        self._main: asyncio.Task[Any] | None = None
        self._untold: list[tuple[int, int, asyncio.Future[None]]] = []  # remembered outcomes, by their turn
        self._count = itertools.count()
        self._outside: float | None = None  # since when (the loop's time) the code awaits no step that is at work

    def complete(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run `main` on a loop of its own, to its end or until the run is left."""
        selector = _IdleSelector(self)
        loop = asyncio.SelectorEventLoop(selector)
        try:
            self._main = loop.create_task(main)
            selector.watching = True
            return loop.run_until_complete(self._main)
        except asyncio.CancelledError:
            self.live.check()
            raise RuntimeError("the function cancelled itself") from None
        except BaseExceptionGroup:
            self.live.check()  # a TaskGroup wraps the exception by which the code is left
            raise
        finally:
            selector.watching = False
            _close(loop)

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
        done = await self._recall(key, "run")
        if done is not None:
            return plans.outcome(done)
        return await self._perform(
            plans.run(self.live, here.prefix, key, self.live.stubs.get(id, fn), args, kwargs, retries, timeout), key
        )

    async def sleep(self, id: str, ms: int) -> None:
        await self._sleep(id, ms, None)

    async def sleep_until(self, id: str, at: int) -> None:
        await self._sleep(id, 0, at)

    async def _sleep(self, id: str, ms: int, at: int | None) -> None:
        key = this_branch().key(id)
        if await self._recall(key, "sleep") is None:
            until = at if at is not None else self.live.clock.now() + ms
            await self._perform(plans.sleep(self.live, key, until), key)

    async def wait(
        self, id: str, waits: Asked, timeout: int | None, lookback: bool, shares: bool = False
    ) -> tuple[str, model.Event] | None:
        key = this_branch().key(id)
        known = await self._recall(key, "wait")
        if known is not None:
            found: tuple[str, model.Event] | None = plans.outcome(known)
            return found
        found = await self._perform(plans.wait(self.live, key, "wait", waits, timeout, lookback, shares), key)
        return found

    async def signal(self, id: str, signal: str, timeout: int | None) -> Any:
        key = this_branch().key(id)
        known = await self._recall(key, "signal")
        asked = (("", signal, None, None),)
        found = (
            plans.outcome(known)
            if known is not None
            else await self._perform(plans.wait(self.live, key, "signal", asked, timeout, True), key)
        )
        return view(found[1]).data["data"] if found is not None else None

    async def invoke(self, id: str, function_id: str, data: Any, timeout: int | None) -> Any:
        key = this_branch().key(id)
        known = await self._recall(key, "invoke")
        if known is not None:
            return plans.outcome(known)
        return await self._perform(plans.invoke(self.live, key, function_id, data, timeout), key)

    async def send(self, id: str, events: list[dict[str, Any]]) -> list[str]:
        key = this_branch().key(id)
        known = await self._recall(key, "send")
        sent: list[str] = (
            plans.outcome(known) if known is not None else await self._perform(plans.send(self.live, key, events), key)
        )
        return sent

    async def map(self, id: str, fn: Callable[[Any], Any], items: list[Any], max_concurrency: int | None) -> list[Any]:
        key = this_branch().key(id)
        if key == self._seeking:
            self.found = fn
            raise self._leave("suspended")
        known = await self._recall(key, "map")
        results: list[Any] = (
            plans.outcome(known)
            if known is not None
            else await self._perform(plans.map_items(self.live, key, items, max_concurrency), key)
        )
        return results

    async def skip(self, ids: list[str]) -> None:
        """Remember that these steps will not run."""
        here = this_branch()
        keys = [here.key(id) for id in ids]
        new = [key for key in keys if await self._recall(key, "run") is None]
        await self._perform(plans.skip(self.live, new), ids[0])

    def heard(self, id: str) -> int:
        """The turn of a step that has ended, among all that have."""
        return self.live.state.heard.get(this_branch().prefix + id, _LAST)

    def known(self, id: str) -> bool:
        """Whether the journal remembers anything of this step."""
        return knows(self.live.state, this_branch().prefix + id)

    async def parallel(self, calls: tuple[Callable[[], Any], ...]) -> list[Any]:
        self.live.check()
        scopes = this_branch().branches(len(calls))
        tasks = [asyncio.ensure_future(_follow(*each)) for each in zip(calls, scopes, strict=True)]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        self.live.check()
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return list(ends)

    async def _recall(self, key: str, kind: StepKind) -> StepDone | Resolved | None:
        """How this step ended, if it has; told in the order in which the code first heard of its steps."""
        known = self.tape.recall(key, kind)
        alone = not self._untold and len(asyncio.all_tasks()) == 1
        if not alone and (known is not None or self._untold):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            turn = self.live.state.heard.get(key, 0) if known is not None else _LAST
            heapq.heappush(self._untold, (turn, next(self._count), future))
            await future
            self.live.check()
        return known

    async def _perform(self, plan: Plan, key: str) -> Any:
        self.live.check()
        if self._seeking is not None:
            await self._block(Blocked(key, "run", 0))
        try:
            step = next(plan)
            while True:
                try:
                    answer = await (self._call(step) if isinstance(step, Call) else self._block(step))
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as stop:
            return stop.value

    async def _call(self, call: Call) -> Any:
        if self.live.stopping():
            await self._hand_over()
        token = attempt.set(call.attempt)
        self._working += 1
        self._outside = None
        limit = asyncio.timeout(call.timeout / 1_000 if call.timeout is not None else None)
        try:
            async with limit:
                return await self._result(call)
        except TimeoutError:
            if limit.expired():
                raise AttemptTimeout(f"the step took longer than its timeout of {call.timeout} ms") from None
            raise
        except SystemExit as stop:
            raise RuntimeError(f"the step called sys.exit({stop.code!r})") from stop
        except asyncio.CancelledError as cancelled:
            if _cancelling():
                raise
            raise RuntimeError("the step awaited what had been cancelled") from cancelled
        finally:
            self._working -= 1
            attempt.reset(token)

    async def _result(self, call: Call) -> Any:
        """A plain function runs in a thread where something else could go on meanwhile, or where it may be given up."""
        if inspect.iscoroutinefunction(call.fn):
            return await call.fn(*call.args, **call.kwargs)
        if call.timeout is None and len(asyncio.all_tasks()) == 1:
            result = call.fn(*call.args, **call.kwargs)
        elif call.timeout is not None:
            result = await in_thread(lambda: call.fn(*call.args, **call.kwargs))
        else:
            work = contextvars.copy_context().run
            result = await asyncio.get_running_loop().run_in_executor(
                None, lambda: work(call.fn, *call.args, **call.kwargs)
            )
        return await result if inspect.isawaitable(result) else result

    async def _block(self, blocked: Blocked) -> None:
        live = self.live
        live.check()
        live.blocked[blocked.key] = blocked
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[blocked.key] = (blocked, future)
        self._outside = None
        try:
            await future
        except asyncio.CancelledError:
            if live.leaving is None:  # the code itself gave up waiting: nothing is blocked here any more
                del live.blocked[blocked.key]
            raise
        finally:
            del self._waiting[blocked.key]
        live.check()
        del live.blocked[blocked.key]

    async def _hand_over(self) -> None:
        """Leave, but let the steps that are at work end first: what they did must be remembered."""
        if not self._working:
            raise self._leave("handed over")
        self._handing = True
        await asyncio.get_running_loop().create_future()  # until the main task is cancelled

    def _leave(self, how: Any) -> Left:
        if self._main is not None and self.live.leaving is None and asyncio.current_task() is not self._main:
            self._main.cancel()
        return self.live.leave(how)

    def idle(self, watched: bool, timeout: float | None) -> float | None:
        """The loop is about to wait. How long it may at most; 0 after something was made ready."""
        if self._tell_one():
            return 0
        if self.live.leaving is not None and not (self._working or watched or timeout is not None):
            return self._left_as(self.live.leaving)  # a task has left; others may still be waiting for what never comes
        if self.live.leaving is None and not self._working:
            if self._handing:
                return self._left_as("handed over")
            if self._waiting:
                patience = self._patience() if watched or timeout is not None else 0
                if patience <= 0:
                    self._outside = None
                    kept = self.live.park is not None and self._seeking is None and self.live.park()
                    return 0 if kept else self._left_as("suspended")
                timeout = patience if timeout is None else min(timeout, patience)
        ends = [blocked.until for blocked, _ in self._waiting.values() if blocked.until is not None]
        if not ends:
            return timeout
        wait = max(0, min(ends) - self.live.clock.now()) / 1_000
        return wait if timeout is None else min(wait, timeout)

    def _tell_one(self) -> bool:
        """Let one task go on: the next that a remembered outcome is for, else one whose step is blocked no longer.

        One at a time, and the rest when nothing more follows from it: so code that races its steps (`asyncio.wait`,
        `as_completed`) sees the same winner in every replay.
        """
        while self._untold:
            _, _, future = heapq.heappop(self._untold)
            if not future.done():
                future.set_result(None)
                return True
        heard = self.live.state.heard
        ready = [each for each in self._waiting.values() if self._can_go_on(each[0]) and not each[1].done()]
        if not ready:
            return False
        min(ready, key=lambda each: heard.get(each[0].key, _LAST))[1].set_result(None)
        return True

    def _patience(self) -> float:
        """For how many seconds the code may still await something other than its steps."""
        now = asyncio.get_running_loop().time()
        self._outside = self._outside if self._outside is not None else now
        return self._outside + PATIENCE - now

    def _left_as(self, how: Leaving) -> float:
        assert self._main is not None
        self.live.leave(how)
        self._main.cancel()
        return 0

    def _can_go_on(self, blocked: Blocked) -> bool:
        if self._seeking is not None:
            return False  # a part of a map only looks for its code in here: nothing of the whole is its to do
        if blocked.key in self.live.state.resolved:
            return True
        return blocked.until is not None and blocked.until <= self.live.clock.now()


class _IdleSelector(selectors.DefaultSelector):
    """Asks the driver each time before the loop waits for something to happen."""

    def __init__(self, driver: AsyncDriver) -> None:
        super().__init__()
        self.watching = False
        self._driver = driver

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.watching and (timeout is None or timeout > 0):
            own = 1  # the loop's own pipe, through which threads wake it
            timeout = self._driver.idle(len(self.get_map()) > own, timeout)
        return super().select(timeout)


async def _follow(call: Callable[[], Any], scope: Branch) -> Any:
    branch.set(scope)
    result = call()
    return await result if inspect.isawaitable(result) else result


def _cancelling() -> bool:
    """Whether somebody asked the current task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End what the code left behind: tasks that nobody awaited, generators, threads."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
