"""A part of a map: a run of its own, with its own journal, for some of the items.

The function that `map` was given may be a closure over anything that came before it in the code. So a chunk replays its
parent's code over its parent's journal, up to the map step, takes the function from there, and then runs it as a
durable step per item, in its own journal.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill import values
from tidemill.core.state import fold
from tidemill.errors import NonDeterministicError, NonRetriableError, StepError
from tidemill.execute.code import AnyFunction, Body, events_of, execute, in_branch
from tidemill.execute.driver import Driver
from tidemill.execute.live import Left, LiveRun
from tidemill.execute.tape import Branch, Found
from tidemill.model import Failure, Parent


def chunk_body(function: AnyFunction, live: LiveRun, threads: bool) -> Body:
    parent = live.head.parent
    assert parent is not None

    def body(chunk: LiveRun) -> list[dict[str, Any]]:
        found = _sought(function, chunk, parent, threads)
        name = (chunk.state.birth.input or b"").decode()
        mine = _share(values.decode(chunk.ask(chunk.keeper.blob, name)), parent)
        if function.is_async:
            return _each_async(chunk, found, mine)
        return _each(chunk, found, mine, threads)

    return body


def _share(items: list[Any], parent: Parent) -> list[tuple[int, Any]]:
    number, of = parent.chunk or 0, parent.chunks
    low, high = number * len(items) // of, (number + 1) * len(items) // of
    return list(enumerate(items))[low:high]


def _sought(function: AnyFunction, chunk: LiveRun, parent: Parent, threads: bool) -> Found:
    """The function that the parent's code gives to the map step."""
    state = fold(chunk.ask(chunk.keeper.journal, parent.run_id))
    if state.terminal is not None:
        raise NonRetriableError("the run that this part of a map belongs to has ended")
    head = msgspec.structs.replace(chunk.head, run_id=parent.run_id, parent=None)
    replay = LiveRun(head, chunk.spec, state, chunk.keeper, chunk.clock, chunk.entropy, lambda: False, {})
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


def _each(chunk: LiveRun, found: Found, mine: list[tuple[int, Any]], threads: bool) -> list[dict[str, Any]]:
    driver = Driver(chunk, threads=threads)

    def outcome(number: int, item: Any) -> dict[str, Any]:
        try:
            return {"value": driver.run(str(number), found.fn, (item,), {}, None, None)}
        except StepError as error:
            return {"failure": _as_data(error)}

    outcomes: list[dict[str, Any]] = in_branch(lambda: [outcome(*each) for each in mine], Branch(), found.context)
    return outcomes


def _as_data(error: StepError) -> dict[str, Any]:
    return msgspec.structs.asdict(Failure(error.type, error.message, error.stack, error.step_id or None))


def _each_async(chunk: LiveRun, found: Found, mine: list[tuple[int, Any]]) -> list[dict[str, Any]]:
    from tidemill.execute.driver_async import AsyncDriver

    driver = AsyncDriver(chunk)

    async def main() -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = []
        for number, item in mine:
            try:
                outcomes.append({"value": await driver.run(str(number), found.fn, (item,), {}, None, None)})
            except StepError as error:
                outcomes.append({"failure": _as_data(error)})
        return outcomes

    outcomes: list[dict[str, Any]] = in_branch(lambda: driver.complete(main()), Branch(), found.context)
    return outcomes
