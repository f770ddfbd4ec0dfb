"""The executor: processes one message of a function's queue, in the function's own Lambda.

A message is a hint. The journal says what it means: `arrive`, `tick` and `open_run` claim the run or do what it needs;
`drive` executes its code as far as it goes. Returning acknowledges a message; after an exception it comes again, and
nothing is lost, because everything may be done twice.

*Time.* The claim ends with the Lambda's own deadline and a little grace. Before that (`leave_at`) the run moves to a
fresh invocation, between two steps: an executing step cannot be interrupted, and one that takes longer than the rest of
the time dies with its Lambda and counts as a failed attempt. The first step of an invocation always begins, so that a
run makes progress however short the timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from tidemill.aws.calls.client import AwsError
from tidemill.aws.function import logs
from tidemill.aws.function.deployed_registry import OwnRegistry
from tidemill.aws.function.metered_runs import WatchedRuns
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.function.short_timers import NEAR, ShortTimers
from tidemill.aws.liveness import GRACE
from tidemill.aws.messages import types as message
from tidemill.aws.messages.dead_letters import DeadLetters
from tidemill.aws.messages.parse import read as read_message
from tidemill.aws.settings import queue_name
from tidemill.core.journal import Claimed, HandedOver, Started
from tidemill.engine.drive.begin import arrive, tick
from tidemill.engine.drive.claim import Opened, open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.drive.remote_attempt import ended
from tidemill.engine.runs.append import append
from tidemill.engine.runs.load import first, tail
from tidemill.errors import Unavailable
from tidemill.model import CronTrigger
from tidemill.ports import RunStore, World
from tidemill.sdk.function import Function

if TYPE_CHECKING:
    from tidemill.aws.runtimes.ends import Ends

AnyFunction = Function[Any, Any]
HandBack = Callable[[str, str, str, int], object]  # run, function, its former claim's executor, delay in seconds

_MARGIN_SHARE = 5  # a fifth of the timeout is kept for leaving, at most:
_MARGIN_MOST = 10_000  # milliseconds
_SOON, _SPREAD = 2, 9  # seconds until a run that was handed back goes on


class Refused(Exception):
    """A message that this Lambda cannot process now; one sentence. It comes again, and ends as a dead letter."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One invocation of the Lambda. `by`: its name in claims; `leave_at`: no step begins after this; `again`: its
    message was received before."""

    by: str
    until: int
    leave_at: int
    again: bool = False


def turn(by: str, now: int, remaining: int) -> Turn:
    """`remaining`: milliseconds until Lambda ends the process."""
    deadline = now + remaining
    return Turn(by, deadline + GRACE, deadline - min(_MARGIN_MOST, remaining // _MARGIN_SHARE))


class Executor:
    """Processes messages, one after the other. `sleep` takes milliseconds. `ends`: for definitions, made when the first
    message about a remote step arrives."""

    def __init__(
        self,
        world: World,
        functions: Mapping[str, AnyFunction],
        *,
        deployment: str,
        version: str,
        dead: DeadLetters,
        metrics: Metrics,
        sleep: Callable[[int], None],
        ends: Callable[[], Ends] | None = None,
        hand_back: HandBack | None = None,
    ) -> None:
        self._timers = ShortTimers(world.queue, world.clock)
        self._runs = WatchedRuns(world.runs, metrics)
        own = {function_id: function.spec for function_id, function in functions.items()}
        registry = OwnRegistry(world.registry, own, version)
        self._world = replace(world, runs=cast("RunStore", self._runs), queue=self._timers, registry=registry)
        self._functions = functions
        self._by_queue = {queue_name(deployment, function_id): function for function_id, function in functions.items()}
        self._dead = dead
        self._metrics = metrics
        self._sleep = sleep
        self._made_ends = ends
        self._hand_back = hand_back
        self._claimed = ""  # the run whose code is executing

    def now(self) -> int:
        return self._world.clock.now()

    def work(self, queue: str, body: str, sent: int | None, this: Turn) -> None:
        """Process one message of the queue with this name, `sent` at that time. Raises Refused, or errors of stores."""
        function = self._by_queue.get(queue)
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise Refused(
                f"a message of the queue {queue} came to an app that declares no function of this queue (its "
                f"functions: {known}); deploy the code that declares it, or remove its event source mapping"
            )
        self._timers.release()
        self._runs.hold(lambda run_id, reason: self._poison(function.id, body, run_id, reason))
        try:
            found = read_message(body)
        except message.NotAMessage as error:
            self._bury(function.id, body, reason=str(error))
            return
        self._claimed = ""
        try:
            self._do(function, found, body, sent, this)
        except Unavailable as error:
            if not self._handed_back(function.id, this, error):
                raise

    def poison(self, queue: str, body: str, reason: str) -> None:
        """Put a message that keeps failing into the dead-letter queue, where people look."""
        self._bury(self._by_queue[queue].id, body, reason=reason)

    def _handed_back(self, function_id: str, this: Turn, error: Unavailable) -> bool:
        """Whether another message for the run was sent, so that it need not wait for the end of this claim."""
        if not self._claimed or self._hand_back is None:
            return False
        try:
            seconds = _SOON + int(self._world.entropy.random() * _SPREAD)
            self._hand_back(self._claimed, function_id, this.by, seconds)
        except (Unavailable, AwsError):
            return False
        logs.logger.error("run %s is handed back for %s s: %s", self._claimed, seconds, error)
        return True

    def _do(self, function: AnyFunction, found: message.Message, body: str, sent: int | None, this: Turn) -> None:
        if isinstance(found, message.Wake):
            self._look(function, found, this)
        elif isinstance(found, message.Start):
            self._started(sent)
            logs.about(function_id=function.id, event_id=found.event.id)
            opened = arrive(self._world, function.spec, found.event, this.by, this.until, again=this.again)
            self._go(opened, this)
        elif isinstance(found, message.Tick):
            self._tick(function, found, this)
        else:
            self._told(function, found, body, this)

    def _look(self, function: AnyFunction, look: message.Wake, this: Turn) -> None:
        logs.about(function_id=function.id, run_id=look.run_id)
        now = self._world.clock.now()
        if look.at is not None and look.at > now:
            if look.at > min(now + NEAR, this.leave_at):
                self._timers.wake(look.run_id, function.id, look.at)
                return
            self._sleep(look.at - now)
        elif look.at is not None:
            self._metrics.time("WakeUpLateness", now - look.at)
        if look.gave_up:
            _take_back(self._world, look)
        self._timers.hold(look.run_id, this.leave_at)
        self._go(open_run(self._world, look.run_id, this.by, this.until), this)

    def _tick(self, function: AnyFunction, found: message.Tick, this: Turn) -> None:
        logs.about(function_id=function.id)
        trigger = _trigger(function, found)
        if trigger is None:
            return  # a deploy has just removed this schedule
        self._go(tick(self._world, function.spec, trigger, found.at, this.by, this.until), this)

    def _told(
        self, function: AnyFunction, found: message.StepFinished | message.Stopped, body: str, this: Turn
    ) -> None:
        """A remote attempt of a step has ended: append its end, and continue the run."""
        logs.about(function_id=function.id, run_id=found.run_id)
        try:
            step = self._ends.step_of(function.id, found)
        except message.NotAMessage as error:
            self._bury(function.id, body, run_id=found.run_id, reason=str(error))
            return
        end = self._ends.end(function.id, found, body)
        if end is None:
            return  # it comes again
        ended(self._world, found.run_id, step, found.attempt, end)
        self._timers.hold(found.run_id, this.leave_at)
        self._go(open_run(self._world, found.run_id, this.by, this.until), this)

    @cached_property
    def _ends(self) -> Ends:
        if self._made_ends is None:
            raise message.NotAMessage("the message is about a remote step; no function here has one")
        return self._made_ends()

    def _go(self, opened: Opened | None, this: Turn) -> None:
        """Execute the code of the opened run, and repeat while its next due time is a moment away."""
        while True:  # terminates at `leave_at`: a later due time becomes a message
            if opened is not None:
                self._drive(opened, this)
            due = self._timers.due
            if due is None:
                return
            self._timers.hold(self._timers.run_id, this.leave_at)
            self._sleep(max(due - self._world.clock.now(), 0))
            opened = open_run(self._world, self._timers.run_id, this.by, this.until)

    def _drive(self, opened: Opened, this: Turn) -> None:
        head = opened.head
        function = self._functions.get(opened.spec.id)
        if function is None:
            raise Refused(
                f"run {head.run_id} is one of {opened.spec.id}, which this app does not declare; deploy its code"
            )
        self._timers.hold(head.run_id, this.leave_at)
        logs.about(function_id=function.id, run_id=head.run_id, event_id=next(iter(head.event_ids), None))
        if _first(opened):
            self._metrics.count("RunsStarted")
        world, self._claimed, stopping = self._world, head.run_id, self._stopping(this, function.id)
        drive(function, opened, StoreKeeper(world), world.clock, world.entropy, stopping=stopping, host=Host())
        self._claimed = ""

    def _stopping(self, this: Turn, function_id: str) -> Callable[[], bool]:
        """True from `leave_at` on, or once the function is paused; but never before the first step."""
        asked = False

        def stopping() -> bool:
            nonlocal asked
            before, asked = asked, True
            if not before:
                return False
            return self._world.clock.now() >= this.leave_at or self._world.pauses.of(function_id) is not None

        return stopping

    def _started(self, sent: int | None) -> None:
        if sent is not None:
            self._metrics.time("QueueAge", self._world.clock.now() - sent)

    def _poison(self, function_id: str, body: str, run_id: str, reason: str) -> None:
        self._bury(function_id, body, run_id=run_id, reason=reason)

    def _bury(self, function_id: str, body: str, **about: str) -> None:
        self._dead(function_id, body, about)
        self._metrics.count("DeadLetters")
        logs.logger.error(
            "a message of %s was put into its dead-letter queue: %s", function_id, about["reason"], extra=about
        )


def _take_back(world: World, look: message.Wake) -> None:
    """Record that the claim is over: no run waits for its end, and no step is charged with a crash."""
    whole = world.runs.open(look.run_id)
    if whole is not None:
        state = tail(first(whole[0]), whole[1])
        if state.claim is not None and state.claim.by == look.gave_up:
            append(world, look.run_id, state.seq + 1, [HandedOver(world.clock.now(), ())])


def _first(opened: Opened) -> bool:
    """Whether this run's code has never been executed."""
    claims = sum(isinstance(record, Claimed) for record in opened.records)
    return claims == 1 and isinstance(opened.records[0], Started)


def _trigger(function: AnyFunction, found: message.Tick) -> CronTrigger | None:
    for trigger in function.spec.triggers:
        if isinstance(trigger, CronTrigger) and (trigger.cron, trigger.timezone) == (found.cron, found.timezone):
            return trigger
    return None
