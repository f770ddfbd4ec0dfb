"""Decides a run's next action from its journal: the one decision behind every message.

Start, retry, wake, match, child's end and redelivery all arrive as "check this run". The message carries no decision;
the journal says what has to happen, so that a lost, late or doubled message changes nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tidemill.core.state import Tail
from tidemill.model import FunctionSpec, Head

OVERDUE = "it did not end within its finish timeout"
UNBEGUN = "it did not start within its start timeout"


class Action(msgspec.Struct, frozen=True):
    """`claim`: the run's code can go on. `later`: not before `at`. `hold`: its function is not declared now.

    `finish`: it has ended, but not all of the end's effects are known to be done. `cancel` and `fail`: with a reason.
    `awaits`: what a run waits for that can go on `later`: the executor that claimed it, its beginning, the function's
    next attempt, its blocked steps.
    """

    do: Literal["claim", "later", "hold", "finish", "cancel", "fail"]
    at: int = 0
    reason: str = ""
    awaits: Literal["", "executor", "beginning", "attempt", "steps"] = ""


def next_action(state: Tail, head: Head, spec: FunctionSpec | None, claim_alive: bool, now: int) -> Action:
    if state.terminal is not None:
        return Action("finish")
    if head.finish_by is not None and head.finish_by <= now:
        return Action("cancel", reason=OVERDUE)
    if head.started_at is None and head.start_by is not None and head.start_by <= now:
        return Action("cancel", reason=UNBEGUN)
    if state.claim is not None and claim_alive:
        return Action("later", at=state.claim.until, awaits="executor")
    if head.not_before is not None and head.not_before > now:
        return Action("later", at=head.not_before, awaits="beginning")
    if spec is None:
        return Action("hold", reason=f"function {head.function_id} is not declared at present")
    # Even without retries the code runs once more: the crash is charged to the unfinished step, and the
    # code may catch that.
    if state.claim is not None and state.crashes >= max(spec.retries, 1):
        return Action("fail", reason=f"the process died {state.crashes + 1} times without finishing a step")
    return _when_ready(state, now)


def _when_ready(state: Tail, now: int) -> Action:
    if state.failed is not None and state.failed.retry_at > now and state.suspended is None and state.claim is None:
        return Action("later", at=state.failed.retry_at, awaits="attempt")
    if state.suspended is not None and not state.ready:
        due = state.suspended.due
        if due is None or due > now:
            return Action("later", at=due if due is not None else 0, awaits="steps")
    return Action("claim")


def bounded(head: Head, at: int) -> int:
    """The due time `at`, or the run's own timeout if that comes first."""
    limits = [t for t in (head.finish_by, head.start_by if head.started_at is None else None) if t is not None]
    return min([at, *limits])
