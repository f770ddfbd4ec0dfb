"""Executes a chunk of a map: a separate run, with its own journal, for some of the items.

The function that `map` was given may be a closure over anything that came before it in the code. So a chunk replays its
parent's code over its parent's journal, up to the map step, takes the function from there, and then runs it as a
durable step per item, in its own journal.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import msgspec

from tidemill import values
from tidemill.core.journal import Blocked
from tidemill.core.state import fold
from tidemill.engine.drive.driver import Driver
from tidemill.engine.drive.live import Left, LiveRun
from tidemill.engine.drive.replayed import Branch, Found, branch
from tidemill.engine.drive.user_code import AnyFunction, Body, events_of, execute, in_branch
from tidemill.errors import NonDeterministicError, NonRetriableError, StepError
from tidemill.model import Failure, Parent

WHOLE_ENDED = "the run that this part of a map belongs to has ended"

Item = tuple[int, Any]  # its number in the map, and itself


def chunk_body(function: AnyFunction, live: LiveRun, threads: bool) -> Body:
    parent = live.head.parent
    assert parent is not None

    def body(chunk: LiveRun) -> list[dict[str, Any]]:
        found = _sought(function, chunk, parent, threads)
        low, items = cast("tuple[int, list[Any]]", values.decode(chunk.state.birth.input or b"[0, []]"))
        mine = list(enumerate(items, low))
        if function.is_async:
            return _each_async(chunk, found, mine)
        return _each(chunk, found, mine, threads)

    return body


def _sought(function: AnyFunction, chunk: LiveRun, parent: Parent, threads: bool) -> Found:
    """The function that the parent's code gives to the map step."""
    state = fold(chunk.ask(chunk.keeper.journal, parent.run_id))
    if state.terminal is not None:
        raise NonRetriableError(WHOLE_ENDED)
    head = msgspec.structs.replace(chunk.head, run_id=parent.run_id, parent=None)
    replay = LiveRun(head, chunk.spec, state, chunk.keeper, chunk.clock, chunk.entropy)
    replay.say = chunk.say  # the code of an item has the logger of the whole
    events = events_of(replay)
    try:
        _, found = execute(function, replay, events, threads=threads, seeking=parent.key)
    except Left:
        found = None
    if found is None:
        raise NonDeterministicError(
            f"the code of {function.id} did not come to the map step {parent.key!r} again: what leads to it must "
            "not depend on the clock, on randomness or on I/O outside of steps"
        )
    return found


class _Rests(BaseException):
    """This item's step goes on later; the others need not wait for it."""


class _Items(Driver):
    """Items one after the other: one that rests makes room for the next."""

    def _block(self, blocked: Blocked) -> None:
        _rest(self.live, blocked)


def _rest(live: LiveRun, blocked: Blocked) -> None:
    live.check()
    live.blocked[blocked.key] = blocked
    raise _Rests


def _due(chunk: LiveRun, mine: list[Item], outcomes: dict[int, Any]) -> list[Item]:
    """The items whose step can run now, or has ended. Where only resting ones are left the chunk is left, too."""
    left = [item for item in mine if item[0] not in outcomes]
    ready = [item for item in left if not _resting(chunk, str(item[0]))]
    if left and not ready:
        raise chunk.leave("suspended")
    for number, _ in ready:
        chunk.blocked.pop(str(number), None)
    return ready


def _resting(chunk: LiveRun, key: str) -> bool:
    blocked = chunk.blocked.get(key)
    if blocked is None or key in chunk.state.resolved or any(own.startswith(key) for own in chunk.state.resolved):
        return False
    return blocked.until is None or blocked.until > chunk.clock.now()


def _each(chunk: LiveRun, found: Found, mine: list[Item], threads: bool) -> list[dict[str, Any]]:
    driver = _Items(chunk, threads=threads)
    outcomes: dict[int, dict[str, Any]] = {}

    def run(number: int, item: Any) -> None:
        try:
            outcomes[number] = {"value": driver.run(str(number), found.fn, (item,), {}, None, None)}
        except StepError as error:
            outcomes[number] = {"failure": _as_data(error)}
        except _Rests:
            pass

    while ready := _due(chunk, mine, outcomes):
        for item in ready:
            in_branch(partial(run, *item), Branch(), found.context)
    return [outcomes[number] for number, _ in mine]


def _as_data(error: StepError) -> dict[str, Any]:
    return msgspec.structs.asdict(Failure(error.type, error.message, error.stack, error.step_id or None))


def _each_async(chunk: LiveRun, found: Found, mine: list[Item]) -> list[dict[str, Any]]:
    from tidemill.engine.drive.aio.driver import AsyncDriver

    class Items(AsyncDriver):
        async def _block(self, blocked: Blocked) -> None:
            _rest(self.live, blocked)

    driver = Items(chunk)
    outcomes: dict[int, dict[str, Any]] = {}

    async def run(number: int, item: Any) -> None:
        branch.set(Branch())  # an item that is come back to has its first key
        try:
            outcomes[number] = {"value": await driver.run(str(number), found.fn, (item,), {}, None, None)}
        except StepError as error:
            outcomes[number] = {"failure": _as_data(error)}
        except _Rests:
            pass

    async def main() -> list[dict[str, Any]]:
        while ready := _due(chunk, mine, outcomes):
            for item in ready:
                await run(*item)
        return [outcomes[number] for number, _ in mine]

    gathered: list[dict[str, Any]] = in_branch(lambda: driver.complete(main()), Branch(), found.context)
    return gathered
