"""Matches waits and events so that they never miss each other: each side writes first, then reads.

Each side first writes its own item and then reads the other's, so the second of the two sees the first:

    wait:   add its path to the awaited paths of the name; put the wait; read the events stored under path and value
    event:  store the event; read the awaited paths; store it under each; read the waits

An event stored before its path was first awaited has no key; a delayed event gets one when the path is new. For that
time, and an allowance for skewed clocks, the events of the name are read once, within a bound. A lookback beyond the
bound is an error, never a miss. Times are the platform's receipt times; a delayed event's is its `ts` (see
`delayed`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from tidemill import ids
from tidemill.core import match
from tidemill.core.journal import Resolved
from tidemill.engine.runs.load import own_event
from tidemill.errors import NonRetriableError
from tidemill.limits import DELAY, LOOKBACK_EVENTS, SKEW
from tidemill.model import Event, Wait, event_fields
from tidemill.ports import World


def register(world: World, waits: Sequence[Wait]) -> None:
    """Store these waits, so that events find them."""
    now = world.clock.now()
    for wait in waits:
        path = wait.condition.path or ""
        if world.events.add_path(wait.name, path, now) == now and path:
            _file_delayed(world, wait.name, path, now)
        world.waits.put(wait)


def _file_delayed(world: World, name: str, path: str, now: int) -> None:
    """The path is new: store earlier events that take effect later under it.

    An event gets its keys when it takes effect, but a message may be late, and a timeout does not wait for it.
    """
    for event in world.events.by_name(name, now, now + DELAY + SKEW, LOOKBACK_EVENTS):
        value = match.lookup(path, event_fields(event))
        if event.ts > event.received_at and value is not match.MISSING:
            world.events.put(event, [(path, match.value_hash(value))])


def oldest(
    world: World, waits: Sequence[Wait], taken: set[tuple[str, str]], *, last: bool = False
) -> tuple[Wait, Event] | None:
    """The oldest event already received that satisfies one of the waits and is not `taken`.

    `last`: at their timeout. Then all events are read once more, however many came during the wait.
    """
    best: tuple[Wait, Event] | None = None
    for wait in waits:
        own: dict[str, Any] | None = None
        for event in _candidates(world, wait, last):
            if best is not None and event.effective_at >= best[1].effective_at:
                break
            own = _own_event(world, wait) if own is None else own
            if accepts(world, wait, event, taken, own):
                best = (wait, event)
                break
    return best


def accepts(
    world: World, wait: Wait, event: Event, taken: set[tuple[str, str]], own: dict[str, Any] | None = None
) -> bool:
    """Whether this event satisfies the wait, and has taken effect.

    `own`: the waiting run's own event, if it has been read already.
    """
    at = event.effective_at
    if event.id == wait.own or at <= wait.after or (wait.until is not None and at > wait.until):
        return False
    if ahead(world, event):
        return False
    if (digest(wait), event.id) in taken:
        return False
    own = _own_event(world, wait) if own is None else own
    return match.condition_holds(wait.condition, own, event_fields(event))


def first(world: World, wait: Wait, event: Event) -> Wait:
    """The first wait of the step, in the code's order, that this event satisfies; it satisfies this one.

    A lookback reads the waits in that order; an event that comes finds them in the order of their keys.
    """
    for label, condition in wait.before:
        other = msgspec.structs.replace(wait, label=label, condition=condition)
        if accepts(world, other, event, set()):
            return other
    return wait


def ahead(world: World, event: Event) -> bool:
    """Whether the event has not taken effect yet: its `ts` was in the future at receipt, and still is."""
    return event.ts > event.received_at and event.ts > world.clock.now()


def resolved(wait: Wait, event: Event, now: int) -> Resolved:
    """The record of the match: this event resolves the wait."""
    return Resolved(wait.key, now, event=event, label=wait.label, wait=digest(wait), after=wait.after)


def digest(wait: Wait) -> str:
    """The digest of a wait, equal for waits with the same event name and condition."""
    condition = wait.condition
    asked = (wait.name, condition.path or "", condition.hash, condition.when or "")
    return ids.derived(*asked, wait.key) if wait.shares else ids.derived(*asked)


def _own_event(world: World, wait: Wait) -> dict[str, Any]:
    """The waiting run's own event, if the condition still needs it."""
    when = wait.condition.when
    if when is None or "event" not in when:
        return {}
    event = own_event(world, wait.run_id)
    return event_fields(event) if event is not None else {}


def _candidates(world: World, wait: Wait, last: bool) -> Iterator[Event]:
    """Events of the awaited name that took effect after `wait.after`, oldest first."""
    path, hash_ = wait.condition.path or "", wait.condition.hash
    now = world.clock.now()
    upto = now + SKEW  # the clock of the process that received an event may be ahead
    before = min(world.events.add_path(wait.name, path, now) + SKEW, upto)
    keyed = _Pages(lambda after, limit: world.events.by_key(wait.name, path, hash_, after, upto, limit), wait, last)
    early = _Pages(lambda after, limit: world.events.by_name(wait.name, after, before, limit), wait, last)
    seen: set[str] = set()
    for event in heapq.merge(early.read() if wait.after < before else (), keyed.read(), key=lambda e: e.effective_at):
        if event.id not in seen:
            seen.add(event.id)
            yield event


class _Pages:
    """The events that a store finds, oldest first: one page, or all pages."""

    def __init__(self, find: Callable[[int, int], list[Event]], wait: Wait, many: bool) -> None:
        self._find = find
        self._wait = wait
        self._many = many

    def read(self) -> Iterator[Event]:
        after = self._wait.after
        while len(page := self._find(after, LOOKBACK_EVENTS + 1)) > LOOKBACK_EVENTS:
            if not self._many or page[-1].effective_at - 1 == after:  # all of them came in the same millisecond
                raise NonRetriableError(
                    f"step {self._wait.key!r} would have to look back through more than {LOOKBACK_EVENTS:,} events "
                    f"named {self._wait.name!r}; give it a `match`, or lookback=False"
                )
            yield from page
            after = page[-1].effective_at - 1
        yield from page
