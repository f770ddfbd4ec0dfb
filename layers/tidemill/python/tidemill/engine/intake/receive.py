"""Receives an event: stores it, starts the functions that listen for it, and wakes or cancels waiting runs.

All of it may be done twice. The callers decide which events come here (keys, limits, known ids).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, cast

import msgspec

from tidemill import ids, values
from tidemill.core import match
from tidemill.core.journal import Claimed
from tidemill.engine.intake.start import Arrival, begin, start
from tidemill.engine.runs import append, match_waits
from tidemill.engine.runs.create import NewRun
from tidemill.engine.runs.end import cancel
from tidemill.limits import EVENT_ID_MEMORY
from tidemill.model import (
    INVOKED,
    SIGNAL,
    TIMER,
    CronTrigger,
    Event,
    FunctionSpec,
    Parent,
    Wait,
    event_fields,
)
from tidemill.ports import World

_PAGE = 500

Keys = list[tuple[str, str]]  # awaited paths, each with the hash of what the event holds there


class Mark(msgspec.Struct, frozen=True):
    """How far the waits of an event have been processed: up to and including this one."""

    path: str
    run_id: str
    key: str


def known(world: World, event_id: str, now: int) -> Event | None:
    """The event with this id that took effect within EVENT_ID_MEMORY, or will take effect: it starts nothing again."""
    event = world.events.get(event_id)
    return event if event is not None and now - event.effective_at <= EVENT_ID_MEMORY else None


def receive(world: World, event: Event) -> list[str]:
    """Receive an event. Returns the ids of the runs that it started."""
    store(world, event)
    started = [begin(world, spec, event).began for spec in world.registry.listeners(event.name)]
    wake(world, event)
    return [run_id for run_id in started if run_id is not None]


def receive_in_parts(world: World, event: Event) -> Generator[None, None, None]:
    """Like `receive`, for a process that serves others meanwhile: it yields after each function and each wait."""
    store(world, event)
    for spec in world.registry.listeners(event.name):
        begin(world, spec, event)
        yield
    yield from wake_in_parts(world, event)


def store(world: World, event: Event) -> Keys | None:
    """Keep the event, then keep it under every path by which it may be awaited (see `lookback`); these.

    None: another event stands under its id, and this one is none.
    """
    if not world.events.put(event, ()):
        return None
    keys = awaited_keys(world, event)
    if keys:
        world.events.put(event, keys)
    return keys


def wake(world: World, event: Event) -> list[str]:
    """Resolve the waits that this event satisfies, and cancel the runs that it cancels; returns the resolved runs."""
    woken: dict[str, None] = {}  # a run may have several waits
    wake_on(world, event, None, lambda run_id: woken.setdefault(run_id))
    return list(woken)


def wake_in_parts(world: World, event: Event) -> Generator[None, None, list[str]]:
    """Like `wake`, but yields after each wait."""
    woken: dict[str, None] = {}
    for _ in _worked_off(world, event, None, woken.setdefault, None):
        yield
    return list(woken)


def wake_on(
    world: World,
    event: Event,
    after: Mark | None,
    woken: Callable[[str], object] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
    keys: Keys | None = None,
) -> Mark | None:
    """Like `wake`, in parts: from the mark of the part before, until `stopping()`. None: done.

    One event may have a million waits. A wait that comes meanwhile has found the event by its lookback; so has one for
    a path that was awaited only after the event was stored under `keys`, the result of `store`.
    """
    return next((mark for mark in _worked_off(world, event, after, woken, keys) if stopping()), None)


def _worked_off(
    world: World, event: Event, after: Mark | None, woken: Callable[[str], object], keys: Keys | None
) -> Iterator[Mark]:
    """The mark of each wait, once it is processed. An event that has not taken effect resolves none (see `delayed`)."""
    if match_waits.ahead(world, event):
        return
    for path, hash_ in sorted(keys if keys is not None else _keys(world, event)):
        if after is not None and path < after.path:
            continue
        begin = (after.run_id, after.key) if after is not None and path == after.path else None
        for wait in _waits(world, event.name, path, hash_, begin):
            if match_waits.accepts(world, wait, event, set()) and _wake_one(world, wait, event):
                woken(wait.run_id)
            yield Mark(path, wait.run_id, wait.key)


def signal(world: World, name: str, data: Any, event_id: str) -> list[str]:
    """Send a signal. It travels as an event that only waits for signals can see; the runs that it resolved."""
    event = _signal(world, name, data, event_id)
    store(world, event)
    return wake(world, event)


def signal_in_parts(world: World, name: str, data: Any, event_id: str) -> Generator[None, None, list[str]]:
    """Like `signal`, but yields after each wait."""
    event = _signal(world, name, data, event_id)
    store(world, event)
    return (yield from wake_in_parts(world, event))


def _signal(world: World, name: str, data: Any, event_id: str) -> Event:
    now = world.clock.now()
    sent = world.events.get(event_id)  # the same signal, sent again after it seemed to fail
    return sent or Event(event_id, SIGNAL, {"signal": name, "data": data}, now, now)


def invoke(
    world: World,
    spec: FunctionSpec,
    data: bytes,
    *,
    parent: Parent | None = None,
    run_id: str | None = None,
    user: dict[str, Any] | None = None,
) -> str:
    """Start a function directly. `data` (encoded) is its event's data, `user` its event's user; the run's id."""
    now = world.clock.now()
    run_id = run_id or ids.ulid(now, world.entropy.bytes(10))
    plain = values.plain(data)
    fields = cast("dict[str, Any]", plain) if isinstance(plain, dict) else {}
    event = Event(ids.derived(run_id, INVOKED), INVOKED, fields, now, now, user)
    world.events.put(event, ())
    start(world, NewRun(spec, (event,), run_id=run_id, parent=parent, input=data))
    return run_id


def fire(world: World, spec: FunctionSpec, trigger: CronTrigger, at: int, claim: Claimed | None = None) -> Arrival:
    """A tick of a cron trigger."""
    event = timer(world, spec, trigger, at)
    store(world, event)
    wake(world, event)
    return begin(world, spec, event, claim)


def timer(world: World, spec: FunctionSpec, trigger: CronTrigger, at: int) -> Event:
    """The event of a cron trigger's tick; its id derives from what ticked, and when."""
    event_id = ids.derived(spec.id, trigger.cron, trigger.timezone, str(at))
    return Event(event_id, TIMER, {"cron": trigger.cron, "timezone": trigger.timezone}, at, world.clock.now())


class DirectBus:
    """A bus inside one process: a published event is received before the publisher continues.

    Receiving may publish in turn (a run that an event cancels announces its end); a queue keeps the stack flat.
    """

    def __init__(self) -> None:
        self.world: World | None = None
        self._queue: deque[Event] = deque()
        self._busy = False

    def publish(self, events: Sequence[Event]) -> None:
        self._queue.extend(events)
        if self._busy or self.world is None:
            return
        self._busy = True
        try:
            while self._queue:  # terminates: each event is taken once, and no function is started by its own end
                receive(self.world, self._queue.popleft())
        finally:
            self._busy = False


def awaited_keys(world: World, event: Event) -> Keys:
    return list(_keys(world, event))


def _keys(world: World, event: Event) -> Iterator[tuple[str, str]]:
    """The awaited paths of this event's name, each with the hash of the event's value there."""
    paths = world.events.paths(event.name)
    if not paths:
        return
    fields = event_fields(event)
    for path in paths:
        if not path:
            yield "", ""
        elif (value := match.lookup(path, fields)) is not match.MISSING:
            yield path, match.value_hash(value)


def _waits(world: World, name: str, path: str, hash_: str, after: tuple[str, str] | None = None) -> Iterator[Wait]:
    while page := world.waits.find(
        name, path, hash_, after, _PAGE
    ):  # terminates: each page begins after the one before
        yield from page
        after = (page[-1].run_id, page[-1].key)


def _wake_one(world: World, wait: Wait, event: Event) -> bool:
    if wait.cancel:
        cancel(world, wait.run_id, f"cancelled by event {event.name} ({event.id})", own=wait.own)
        return False
    wait = match_waits.first(world, wait, event)
    record = match_waits.resolved(wait, event, world.clock.now())
    found = append.match(world, wait, record)
    if found != "kept":
        world.waits.drop(wait.run_id, wait.key)
    return found == "told"
