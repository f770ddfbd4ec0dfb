"""The sweep: runs whose due time has passed, and that nobody looked at, are sent to their queues again.

Every message and schedule is a hint and may be lost; the due time in the head is what they hint at. A run found overdue
gets a message and a due time a while ahead: so the next page, and the next minute's sweep, go on behind it, and a run
that waits in a long queue is not sent there again each minute.
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

GRACE = 30 * SECOND  # a run due since then is not lost, only on its way
AGAIN = 15 * MINUTE  # so long a message may be under way before another one is sent
_PAGE = 100

Held = Callable[[str, str, int], object]


def sweep(
    world: World, more: Callable[[], bool], held: Held = lambda _function, _run, _now: None
) -> tuple[int, list[str]]:
    """Look for overdue runs as long as `more()` says. How many were found, and what went wrong with which.

    `held` is told of each run whose function is not declared: the function, the run, the time.
    """
    seen: set[str] = set()
    problems: list[str] = []
    while more():
        now = world.clock.now()
        found = [head for head in world.runs.overdue(now - GRACE, _PAGE) if head.run_id not in seen]
        if not found:
            break  # or an index that has not heard yet what was done: the next minute comes anyway
        for head in found:
            seen.add(head.run_id)
            problem = _send(world, head, now, held)
            if problem is not None:
                problems.append(f"run {head.run_id} of {head.function_id}: {problem}")
            if not more():
                break
    return len(seen), problems


def _send(world: World, head: Head, now: int, held: Held) -> Exception | None:
    """A message first, then the due time: what dies in between is found again. What went wrong, if something did."""
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
    """A message that is refused will be refused again: it must not keep the sweep from what is overdue behind it."""
    try:
        world.queue.wake(head.run_id, head.function_id)
    except AwsError as error:
        return error
    return None
