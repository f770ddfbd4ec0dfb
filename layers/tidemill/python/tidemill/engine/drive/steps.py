"""The plans of all kinds of steps, written once for sync and async code.

A plan is a generator: it reads and appends to the journal, and yields where it needs its driver to do something that
sync and async code do differently: `Call` a function, or be `Blocked` until the step can continue. The replay of a
finished step never gets here (see `replayed.Replayed.recall`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from tidemill import duration, ids, values
from tidemill.core import match, retry
from tidemill.core.journal import Begun, Blocked, Ended, Record, Resolved, StepDone, StepTried, Terminal
from tidemill.engine.drive import remote_attempt, replayed
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.runs import match_waits
from tidemill.engine.runs.append import taken_before
from tidemill.engine.runs.end import failure_for_parent
from tidemill.errors import EventError, NonRetriableError, StepError
from tidemill.limits import DELAY, MAP_CHUNKS, SKEW, SLEEP
from tidemill.model import SIGNAL, Condition, Event, Failure, Parent, StepKind, Wait, event_fields
from tidemill.sdk import step_arguments
from tidemill.task import Handed


@dataclass(frozen=True, slots=True)
class Call:
    """Run this function; `attempt` is what `ctx.attempt` says meanwhile. `timeout` in milliseconds."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int
    timeout: int | None


Plan = Generator[Call | Blocked, Any, Any]
Asked = tuple[tuple[str, str, str | None, str | None], ...]  # of each event: label, name, path to match, condition


@dataclass(frozen=True, slots=True)
class Code:
    """What a step runs. `retries`: None: the function's. `timeout` in milliseconds."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retries: int | None
    timeout: int | None


def run(live: LiveRun, branch: str, key: str, code: Code) -> Plan:
    """Run a step until it has a result or has failed for good."""
    limit = (live.spec.retries if code.retries is None else code.retries) + 1
    tried = live.state.tried.get(key)
    attempt = tried.attempt if tried is not None else 0
    elsewhere = remote_attempt.taken_up(live, key, attempt + 1)
    if elsewhere is not None or _at_rest(live, tried):
        _unharmed(live)
        crashes = 0
    else:
        crashes = live.charge(branch)
    if tried is not None:
        yield from _rest(live, key, tried)
    if crashes:
        attempt += crashes
        failure = _crash(live, key)
        yield from _failed(live, key, live.clock.now(), attempt, limit, failure)
    while True:  # bounded: `_failed` raises after the last attempt
        attempt += 1
        started = live.clock.now()
        try:
            if elsewhere is not None:
                given, started = elsewhere
                elsewhere = None
            else:
                given = yield Call(_noted(live, key, attempt, code), code.args, code.kwargs, attempt, code.timeout)
            if isinstance(given, Handed):
                given = yield from remote_attempt.outcome(live, key, attempt, started, given.until)
            value = values.encode(given, "result")
        except Exception as error:
            yield from _failed(live, key, started, attempt, limit, failure_of(error, live.clock.now(), key))
        else:
            live.append(StepDone(key, "run", started, live.clock.now(), attempt, value))
            return values.decode(value)


def _noted(live: LiveRun, key: str, attempt: int, code: Code) -> Callable[..., Any]:
    fn, timeout = code.fn, code.timeout
    if live.host is None:
        return fn
    since, run_id = live.clock.now(), live.head.run_id
    return live.host.noted(lambda notes: notes.begin(run_id, key, attempt, since, timeout), fn)


def _crash(live: LiveRun, key: str) -> Failure:
    """What the executor before this one died of."""
    known = live.host.crash if live.host is not None else None
    if known is None:
        return Failure("Crashed", "the process died while this step ran", step_id=key)
    return msgspec.structs.replace(known, step_id=key)


def skip(live: LiveRun, keys: list[str]) -> Plan:
    """Steps that will not run: remembered as ended, after no attempt."""
    yield from ()
    now = live.clock.now()
    if keys:
        live.append(*(StepDone(key, "run", now, now, attempts=0) for key in keys))


def _at_rest(live: LiveRun, tried: StepTried | None) -> bool:
    """Whether the step was between two attempts when the process died."""
    return tried is not None and live.state.claim is not None and tried.retry_at > live.state.claim.at


def _unharmed(live: LiveRun) -> None:
    """A branch that was blocked when the process died answers for nothing, and nor do the steps that follow in it.

    The trunk may be many tasks of asyncio's: there another one may still have to answer.
    """
    if prefix := replayed.branch.get().prefix:
        live.charge(prefix)


def _failed(live: LiveRun, key: str, started: int, attempt: int, limit: int, failure: Failure) -> Plan:
    """Remember a failed attempt, and rest until the next; raise StepError if there is none."""
    now = live.clock.now()
    if attempt >= limit or not failure.retriable:
        live.append(StepDone(key, "run", started, now, attempt, failure=failure))
        raise StepError.of(failure)
    at = retry.retry_at(live.spec.backoff, attempt, failure, now, live.entropy.random())
    tried = StepTried(key, "run", started, now, attempt, failure, at)
    live.append(tried)
    yield from _rest(live, key, tried)


def _rest(live: LiveRun, key: str, tried: StepTried) -> Plan:
    while live.clock.now() < tried.retry_at:  # the driver waits, or leaves the run
        yield Blocked(key, "run", tried.at, tried.retry_at)


def sleep(live: LiveRun, key: str, until: int) -> Plan:
    """Sleep until then. A sleep that the journal already knows keeps the end that it had."""
    _unharmed(live)
    known = live.state.blocked.get(key)
    started = known.since if known is not None else live.clock.now()
    until = known.until if known is not None and known.until is not None else until
    if known is None and until - started > SLEEP:
        raise NonRetriableError(
            f"step {key!r} would sleep until {duration.iso(until)}; the longest sleep is {duration.text(SLEEP)}"
        )
    # The claim under which a parked run continues may have ended it, by a clock that is ahead of this one.
    while key not in live.state.done and live.clock.now() < until:  # the driver waits, or leaves the run
        yield Blocked(key, "sleep", started, until)
    if key not in live.state.done:
        live.append(StepDone(key, "sleep", started, live.clock.now()))


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a step waits for. `shares`: it may be given an event that another wait of the run has had."""

    kind: StepKind
    asked: Asked
    timeout: int | None
    look_back: bool
    shares: bool = False


def wait(live: LiveRun, key: str, awaited: Awaited) -> Plan:
    """Wait for the first of these events; `(label, event)`, or None when the time has run out."""
    _unharmed(live)
    blocked = live.state.blocked.get(key)
    if blocked is None:
        blocked = _new_wait(live, key, awaited)
        _look(live, blocked)
    while (resolved := live.state.resolved.get(key)) is None:
        if blocked.until is not None and blocked.until <= live.clock.now():
            if not _look(live, blocked):
                live.append(Resolved(key, live.clock.now()))
        else:
            yield blocked
    return (resolved.label, resolved.event) if resolved.event is not None else None


def _new_wait(live: LiveRun, key: str, awaited: Awaited) -> Blocked:
    kind, asked, look_back = awaited.kind, awaited.asked, awaited.look_back
    now = live.clock.now()
    until = now + awaited.timeout if awaited.timeout is not None else None
    own = live.state.events[0]
    after = (own.received_at if look_back else now) - 1
    waits: list[Wait] = []
    for label, name, path, when in asked:
        if kind == "signal":
            event_name, condition = SIGNAL, Condition("data.signal", match.value_hash(name))
        else:
            event_name, condition = name, match.resolve(event_fields(own), match=path, when=when)
        if not condition.never:
            about = (live.head.run_id, live.spec.id, key, event_name, condition, after, until, label)
            before = tuple((each.label, each.condition) for each in waits if each.name == event_name)
            wait = Wait(*about, own=own.id, shares=awaited.shares, begun=live.state.seq + 1, before=before)
            waits.append(_looking_on(live, wait) if look_back else wait)
    return Blocked(key, kind, now, until, asked[0][1], tuple(waits))


def _looking_on(live: LiveRun, wait: Wait) -> Wait:
    """The wait, whose search begins after the events that earlier equal waits gave to the code.

    Each of them took the oldest event that there was, so all that came before is taken, or fits none of them. An event
    that the code gave up is to be found again.
    """
    reached = wait.after
    for taken in taken_before(live.state, wait, match_waits.digest(wait)):
        if not live.given_before(taken.key, wait.key):
            reached = min(reached, taken.at - 1)
        elif taken.after is not None and taken.after <= reached:
            reached = max(reached, taken.at - SKEW)
    return msgspec.structs.replace(wait, after=max(wait.after, reached))


def _look(live: LiveRun, blocked: Blocked) -> bool:
    """Register the waits and look back; True if an event exists already."""
    if not blocked.waits:
        return False
    live.head.needs_cleanup = True
    live.settle()
    found = live.ask(live.keeper.wait, blocked.waits, [each for wait in blocked.waits for each in _taken(live, wait)])
    if found is None:
        return False
    wait, event = found
    live.append(match_waits.resolved(wait, event, live.clock.now()))
    return True


def _taken(live: LiveRun, wait: Wait) -> list[tuple[str, str]]:
    """What the code was given before it came to this wait, by a wait for the same. What it gave up is not taken."""
    digest = match_waits.digest(wait)
    earlier = taken_before(live.state, wait, digest)
    given = (taken for taken in earlier if taken.at > wait.after and live.given_before(taken.key, wait.key))
    return [(digest, taken.event_id) for taken in given]


def invoke(live: LiveRun, key: str, function_id: str, data: Any, timeout: int | None) -> Plan:
    """Run another function and wait for its output."""
    _unharmed(live)
    blocked = live.state.blocked.get(key)
    if blocked is None and key not in live.state.resolved:
        now = live.clock.now()
        parent = Parent(live.head.run_id, live.spec.id, key)
        encoded = step_arguments.passed(key, data)
        live.settle()
        if not live.ask(live.keeper.invoke, parent, function_id, encoded, _user(live)):
            raise NonRetriableError(f"step {key!r} invokes {function_id!r}, but no function has that id")
        blocked = Blocked(key, "invoke", now, now + timeout if timeout is not None else None, function_id)
    while (resolved := live.state.resolved.get(key)) is None:
        assert blocked is not None
        if blocked.until is not None and blocked.until <= live.clock.now():
            sentence = f"{function_id} did not end within the timeout of step {key!r}"
            live.append(Resolved(key, live.clock.now(), failure=Failure("StepTimeoutError", sentence, step_id=key)))
        else:
            yield blocked
    return outcome(resolved)


def _user(live: LiveRun) -> dict[str, Any] | None:
    """The user responsible for runs that this run starts: that of its event, in a batch of the first."""
    return live.state.events[0].user


def send(live: LiveRun, key: str, events: list[dict[str, Any]]) -> Plan:
    """Send events under ids that derive from run and step; gives the ids."""
    yield from ()
    now = live.clock.now()
    for event in events:
        if event.get("ts", now) - now > DELAY:
            raise NonRetriableError(
                f"step {key!r} sends {event['name']!r} with a ts more than {duration.text(DELAY)} from now, the "
                "longest delay there is; ts is milliseconds since the epoch"
            )
    made = [
        Event(
            id=event.get("id") or ids.derived(live.head.run_id, key, str(number)),
            name=event["name"],
            data=event.get("data") or {},
            ts=event.get("ts") or now,
            received_at=now,
            user=event.get("user") or _user(live),
            v=event.get("v"),
        )
        for number, event in enumerate(events)
    ]
    try:
        live.ask(live.keeper.send, made)
    except EventError as error:  # remembered: with another schema the same event might fit in a replay
        failure = Failure("EventError", f"step {key!r}: {error}", step_id=key, retriable=False)
        live.append(StepDone(key, "send", now, live.clock.now(), failure=failure))
        raise EventError(failure.message) from None
    sent = [event.id for event in made]
    live.append(StepDone(key, "send", now, live.clock.now(), value=values.encode(sent, "ids")))
    return sent


def sent(record: StepDone | Resolved) -> list[str]:
    """The ids that a finished step sent; EventError where its events did not fit their schemas."""
    if record.failure is not None and record.failure.type == "EventError":
        raise EventError(record.failure.message)
    ids_sent: list[str] = outcome(record)
    return ids_sent


def map_items(live: LiveRun, key: str, items: list[Any], most: int | None) -> Plan:
    """Spread a durable step per item over chunk runs, and gather what came of them, in order."""
    _unharmed(live)
    since = live.clock.now()
    blocked = live.state.blocked.get(key)
    if blocked is None and key not in live.state.resolved:
        chunks = live.state.begun.get(key, min(len(items), MAP_CHUNKS, most or MAP_CHUNKS))
        if chunks:
            live.head.needs_cleanup = True
            parts = [values.encode(part, "items") for part in _parts(items, chunks)]
            if key not in live.state.begun:
                live.append(Begun(since, key, chunks))
            live.ask(live.keeper.map, live.head, key, parts)
        blocked = Blocked(key, "map", since, name=str(chunks))
    chunks = int(blocked.name) if blocked is not None else live.state.begun.get(key, 0)
    while chunks and key not in live.state.resolved:
        assert blocked is not None
        yield blocked
    ends = live.ask(live.keeper.chunks, live.head.run_id, key, chunks) if chunks else []
    results, failure = _gathered(ends, chunks, key)
    value = None if failure is not None else values.encode(results, "results")
    started = blocked.since if blocked is not None else since
    live.append(StepDone(key, "map", started, live.clock.now(), value=value, failure=failure))
    if failure is not None:
        raise StepError.of(failure)
    return results


def _parts(items: list[Any], count: int) -> list[list[Any]]:
    """For each part the number of its first item, and its items."""
    bounds = [number * len(items) // count for number in range(count + 1)]
    return [[low, items[low:high]] for low, high in pairwise(bounds)]


def _gathered(ends: list[Record], chunks: int, key: str) -> tuple[list[Any], Failure | None]:
    results: list[Any] = []
    if len(ends) != chunks:
        return [], Failure("StepError", f"{chunks - len(ends)} parts of this map were lost", step_id=key)
    for end in ends:
        if not isinstance(end, Ended) or end.value is None:
            failed = failure_for_parent(end) if isinstance(end, Terminal) else None
            return [], failed or Failure("StepError", "a part of this map was lost", step_id=key)
        for item in values.decode(end.value):
            if "failure" in item:
                told: dict[str, Any] = {**item["failure"], "step_id": key}  # an item is no step that the run shows
                return [], Failure(**told)
            results.append(item["value"])
    return results, None


def outcome(record: StepDone | Resolved) -> Any:
    """What a finished step gives its caller: its value, or StepError."""
    if record.failure is not None:
        raise StepError.of(record.failure)
    if isinstance(record, Resolved) and record.event is not None:
        return record.label, record.event
    return values.decode(record.value) if record.value is not None else None
