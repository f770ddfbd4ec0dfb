"""The driver of `ctx.step` for a `def` function: performs steps' plans by blocking, with branches in threads.

A blocked branch waits in its thread while another one executes: its sleep may end, or its wait be resolved, before the
others are done. When all are blocked the run suspends, and costs nothing until it continues. With `threads=False`
branches run one after the other, for a world in which time does not pass while code runs.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from tidemill import model
from tidemill.core.handed import told_outside
from tidemill.core.journal import Blocked, Resolved, StepDone
from tidemill.engine.drive import steps
from tidemill.engine.drive.live import AttemptTimeout, Left, LiveRun
from tidemill.engine.drive.replayed import Branch, Found, Replayed, branch, enter, this_branch
from tidemill.engine.drive.steps import Asked, Awaited, Call, Code, Plan
from tidemill.model import StepKind
from tidemill.sdk.event_view import view


class Driver:
    """Implements `tidemill.sdk.step.StepDriver`. `seeking`: the key of the map step whose code a chunk looks for."""

    def __init__(self, live: LiveRun, *, threads: bool = True, seeking: str | None = None) -> None:
        self.live = live
        self.replayed = Replayed(live, seeking=seeking is not None or live.watch is not None)
        self.found: Found | None = None
        self._threads = threads
        self._seeking = seeking if live.watch is None else ""  # no step has that key
        self._active = 1
        self._turn = threading.Condition()
        self._asking = False
        live.on_news = self._news

    def run(
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
        return self._outcome(key, "run", partial(steps.run, self.live, here.prefix, key, code))

    def sleep(self, id: str, ms: int) -> None:
        self._sleep(id, ms, None)

    def sleep_until(self, id: str, at: int) -> None:
        self._sleep(id, 0, at)

    def _sleep(self, id: str, ms: int, at: int | None) -> None:
        key = this_branch().key(id)
        if self._recall(key, "sleep") is None:
            until = at if at is not None else self.live.clock.now() + ms
            self._perform(steps.sleep(self.live, key, until), key)

    def wait(self, id: str, waits: Asked, timeout: int | None, lookback: bool) -> tuple[str, model.Event] | None:
        key = this_branch().key(id)
        plan = partial(steps.wait, self.live, key, Awaited("wait", waits, timeout, lookback))
        found: tuple[str, model.Event] | None = self._outcome(key, "wait", plan, waits[0][1])
        return found

    def signal(self, id: str, signal: str, timeout: int | None) -> Any:
        key = this_branch().key(id)
        asked = (("", signal, None, None),)
        plan = partial(steps.wait, self.live, key, Awaited("signal", asked, timeout, True))
        found = self._outcome(key, "signal", plan, signal)
        return view(found[1]).data["data"] if found is not None else None

    def invoke(self, id: str, function_id: str, data: Any, timeout: int | None) -> Any:
        key = this_branch().key(id)
        plan = partial(steps.invoke, self.live, key, function_id, data, timeout)
        return self._outcome(key, "invoke", plan, function_id)

    def send(self, id: str, events: list[dict[str, Any]]) -> list[str]:
        key = this_branch().key(id)
        known = self._recall(key, "send")
        sent: list[str] = (
            steps.sent(known) if known is not None else self._perform(steps.send(self.live, key, events), key)
        )
        return sent

    def map(self, id: str, fn: Callable[[Any], Any], items: list[Any], max_concurrency: int | None) -> list[Any]:
        key = this_branch().key(id)
        if key == self._seeking:
            self.found = Found(fn, contextvars.copy_context())
            raise self._leave()
        plan = partial(steps.map_items, self.live, key, items, max_concurrency)
        results: list[Any] = self._outcome(key, "map", plan)
        return results

    def parallel(self, calls: tuple[Callable[[], Any], ...]) -> list[Any]:
        self.live.check()
        here = this_branch().prefix
        scopes = this_branch().branches(len(calls))
        for scope in scopes:
            self.replayed.coverage.begin(scope.prefix, here)
        ends = [_End() for _ in calls]
        if self._threads and len(calls) > 1:
            self._in_threads(calls, scopes, ends)
        else:
            for call, scope, end in zip(calls, scopes, ends, strict=True):
                contextvars.copy_context().run(self._follow, call, scope, end)
        self.live.check()
        self.replayed.coverage.join([scope.prefix for scope in scopes], here)
        if any(end.left for end in ends):
            raise self._leave_branch()
        for end in ends:
            if end.error is not None:
                raise end.error
        return [end.value for end in ends]

    def _in_threads(self, calls: tuple[Callable[[], Any], ...], scopes: list[Branch], ends: list[_End]) -> None:
        group = _Group(len(calls))
        with self._turn:
            self._active += len(calls) - 1  # this line of execution itself waits for its branches

        def follow(call: Callable[[], Any], scope: Branch, end: _End) -> None:
            try:
                self._follow(call, scope, end)
            finally:
                self._branch_over(group, end)

        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(follow, *each), daemon=True)
            for each in zip(calls, scopes, ends, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _follow(self, call: Callable[[], Any], scope: Branch, end: _End) -> None:
        branch.set(scope)
        if self.live.leaving is not None:
            self.replayed.coverage.cut(scope.prefix)
            end.left = True
            return
        try:
            end.value = call()
        except Left:
            end.left = True
        except BaseException as error:
            end.error = error

    def _branch_over(self, group: _Group, end: _End) -> None:
        with self._turn:
            group.open -= 1
            if end.left:  # it gave up its turn when it was blocked
                self._turn.notify_all()
            elif group.open > 0 or self.live.leaving is not None:
                self._active -= 1
                try:
                    self._leave_if_idle()
                except Left:
                    end.left = True
                except BaseException as error:  # the keeper's
                    end.error = error

    def _outcome(self, key: str, kind: StepKind, plan: Callable[[], Plan], target: str = "") -> Any:
        known = self._recall(key, kind, target)
        return steps.outcome(known) if known is not None else self._perform(plan(), key)

    def _perform(self, plan: Plan, key: str) -> Any:
        self.live.check()
        if self.replayed.coverage.left and any(map(this_branch().prefix.startswith, self.replayed.coverage.left)):
            raise Left  # its code swallowed the first exception
        if self._seeking is not None:
            call = self.replayed.stops(plan, key, this_branch().prefix)
            if call is not None:
                self._call(call, key)
            self._block(Blocked(key, "run", 0))
        try:
            return self._carry_out(plan, key)
        finally:
            self._told(key)

    def _told(self, key: str) -> None:
        """The code is about to receive the outcome of this step."""
        if key in self.live.state.completion_order:
            self.live.give(key)
            self.replayed.coverage.told(this_branch().prefix, key)

    def _recall(self, key: str, kind: StepKind, target: str = "") -> StepDone | Resolved | None:
        """The outcome of this step, if it has ended."""
        known = self.replayed.recall(key, kind, target)
        if known is not None:
            self._told(key)
        return known

    def _begins(self, key: str) -> None:
        """The code begins a step that the journal does not know."""
        if not self.replayed.ahead.begins(key, this_branch().prefix, self.replayed.place):
            raise self._leave("superseded")

    def _carry_out(self, plan: Plan, key: str) -> Any:
        step: Call | Blocked | None = None
        try:
            step = next(plan)
            self._begins(key)
            while True:
                try:
                    answer = self._answer(step, key)
                except Exception as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as stop:
            if step is None:
                self._begins(key)
            return stop.value

    def _answer(self, step: Call | Blocked, key: str) -> Any:
        if isinstance(step, Call):
            return self._call(step, key)
        self._block(step)
        return None

    def _call(self, call: Call, key: str) -> Any:
        if self.live.stopping():
            self.live.blocked[key] = Blocked(key, "run", self.live.clock.now())
            raise self._leave("handed over")
        context = contextvars.copy_context()
        context.run(enter, self.live, key, call.attempt)
        try:
            if call.timeout is None:
                return context.run(call.fn, *call.args, **call.kwargs)
            return _within(call.timeout, call, context)
        except SystemExit as stop:
            raise RuntimeError(f"the step called sys.exit({stop.code!r})") from stop

    def _block(self, blocked: Blocked) -> None:
        """Wait until the step can continue, while another branch executes; raises Left when none does."""
        live = self.live
        live.check()
        live.blocked[blocked.key] = blocked
        if not self._threads:
            self._block_alone(blocked)
            return
        with self._turn:
            self._active -= 1
            while not self._can_go_on(blocked):
                self._leave_if_idle()
                if live.leaving is not None:
                    raise Left
                if not self._can_go_on(blocked):  # it may, now that its parked code has been resumed
                    self._rest(blocked)
            self._active += 1
            self._turn.notify_all()
        del live.blocked[blocked.key]

    def _rest(self, blocked: Blocked) -> None:
        """Wait until something happens. One branch at a time checks the journal for outsiders' records."""
        seconds = _seconds_until(blocked, self.live)
        if self._asking or not told_outside(blocked):
            self._turn.wait(seconds)
            return
        self._asking = True
        pause = self.live.news_every
        try:
            woken = self._turn.wait(pause if seconds is None else min(seconds, pause))
            if not woken and self.live.leaving is None:
                self._ask()
        finally:
            self._asking = False

    def _ask(self) -> None:
        self._turn.release()  # who appends meanwhile may need the turn
        try:
            self.live.hear_news()
        finally:
            self._turn.acquire()
            if self.live.leaving is not None:
                self._turn.notify_all()

    def _block_alone(self, blocked: Blocked) -> None:
        """The same without other branches."""
        trunk = not this_branch().prefix
        while not self._can_go_on(blocked):
            if not trunk or self._seeking is not None or self.live.park is None or not self.live.park():
                raise self._leave_branch()
        del self.live.blocked[blocked.key]

    def _leave_branch(self) -> Left:
        """Leave this branch; others remain, unless it is the trunk."""
        prefix = this_branch().prefix
        if not prefix:
            return self.live.leave("suspended")
        self.replayed.coverage.left.add(prefix)
        return Left()

    def _can_go_on(self, blocked: Blocked) -> bool:
        if self.live.leaving is not None or self._seeking is not None:
            return False  # a part of a map only looks for its code in here: nothing of the whole is its to do
        if blocked.key in self.live.state.completion_order:
            return True
        return blocked.until is not None and blocked.until <= self.live.clock.now()

    def _leave_if_idle(self) -> None:
        """If no branch executes and none can continue: suspend, and leave unless the code is kept."""
        live = self.live
        if self._active > 0 or live.leaving is not None or any(map(self._can_go_on, live.blocked.values())):
            return
        try:
            if live.park is None or self._seeking is not None or not live.park():
                live.leave("suspended")
        finally:  # also if the claim was lost
            self._turn.notify_all()

    def _leave(self, how: Any = "suspended") -> Left:
        with self._turn:
            left = self.live.leave(how)
            self._turn.notify_all()
        return left

    def _news(self) -> None:
        with self._turn:
            self._turn.notify_all()


class _End:
    """The outcome of a branch."""

    __slots__ = ("error", "left", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        self.left = False


class _Group:
    """The unfinished branches of one parallel."""

    __slots__ = ("open",)

    def __init__(self, count: int) -> None:
        self.open = count


def _within(timeout: int, call: Call, context: contextvars.Context) -> Any:
    """Call in a separate thread, and give up at the timeout; the thread runs to its end."""
    end = _End()

    def follow() -> None:
        try:
            end.value = call.fn(*call.args, **call.kwargs)
        except BaseException as error:
            end.error = error

    thread = threading.Thread(target=context.run, args=(follow,), daemon=True)
    thread.start()
    thread.join(timeout / 1_000)
    if thread.is_alive():
        raise AttemptTimeout(f"the step took longer than its timeout of {timeout} ms")
    if end.error is not None:
        raise end.error
    return end.value


def _seconds_until(blocked: Blocked, live: LiveRun) -> float | None:
    return max(0, blocked.until - live.clock.now()) / 1_000 if blocked.until is not None else None
