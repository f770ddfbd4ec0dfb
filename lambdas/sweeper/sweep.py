"""The sweep: sends a message for each open run whose due time has passed.

Every message and schedule is a hint and may be lost; the due time in the head is the truth. An overdue run gets a
message and a due time a while ahead, so that the next page, and the next minute's sweep, continue with other runs, and
a run that waits in a long queue does not get a message every minute.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import AwsError
from tidemill.core.next_action import bounded
from tidemill.engine.drive.claim import settle
from tidemill.errors import Unavailable
from tidemill.limits import MINUTE, RECHECK, SECOND
from tidemill.model import Head
from tidemill.ports import World

GRACE = 30 * SECOND  # a run that is overdue by less is not lost: its message is on its way
AGAIN = 15 * MINUTE  # time for a message to arrive before another one is sent
_PAGE = 100

Held = Callable[[str, str, int], object]


def sweep(
    world: World, more: Callable[[], bool], held: Held = lambda _function, _run, _now: None
) -> tuple[int, list[str]]:
    """Search overdue runs while `more()` is true. Returns how many were found, and the errors.

    `held` is called for each run whose function is not declared: the function, the run, the time.
    """
    seen: set[str] = set()
    problems: list[str] = []
    while more():
        now = world.clock.now()
        found = [head for head in world.runs.overdue(now - GRACE, _PAGE) if head.run_id not in seen]
        if not found:
            break  # or the index lags behind: the next minute's sweep continues
        for head in found:
            seen.add(head.run_id)
            problem = _send(world, head, now, held)
            if problem is not None:
                problems.append(f"run {head.run_id} of {head.function_id}: {problem}")
            if not more():
                break
    return len(seen), problems


def _send(world: World, head: Head, now: int, held: Held) -> Exception | None:
    """Send the message first, then move the due time: after a crash in between the run is found again. Returns the
    error."""
    due, reason = now + AGAIN, head.reason
    refused: AwsError | None = None
    try:
        if world.registry.function(head.function_id) is None:
            if settle(world, head.run_id):
                return None
            held(head.function_id, head.run_id, now)
            due, reason = bounded(head, now + RECHECK), f"function {head.function_id} is not declared at present"
        else:
            refused = _looked(world, head)
        world.runs.redue(head.run_id, head.due, due, reason)
    except (Unavailable, AwsError) as error:
        return error
    return refused


def _looked(world: World, head: Head) -> AwsError | None:
    """A refused message will be refused again: it must not block the overdue runs behind it."""
    try:
        world.queue.wake(head.run_id, head.function_id)
    except AwsError as error:
        return error
    return None
