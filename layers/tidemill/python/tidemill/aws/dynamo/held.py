"""Notes of held runs, whose function is not declared: found at once when the function is declared again.

    HELD#<function>                 <run id>             a run that the sweep holds

The sweep writes a note for a held run, and checks the run again within the hour; declaring the function again makes all
of its runs due. A note may be left over, or missing: then the run waits up to an hour.
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.dynamo import heads
from tidemill.aws.dynamo.keys import HEAD, PK, SK, TTL, run_key
from tidemill.aws.dynamo.table import Table
from tidemill.limits import DAY, SECOND
from tidemill.ports import Clock, RunStore

_KEPT = DAY  # time to live of a note: the sweep writes it again each hour


def note(table: Table, function_id: str, run_id: str, now: int) -> None:
    table.put({PK: _key(function_id), SK: run_id, TTL: (now + _KEPT) // SECOND})


def release(table: Table, function_id: str, now: int, more: Callable[[], bool]) -> int:
    """Make the function's held runs due while `more()` is true; returns how many."""
    released = 0
    for item in table.query(_key(function_id)):
        if not more():
            break
        run_id = item[SK]
        due = (table.get(run_key(run_id), HEAD) or {}).get("due")
        if due is not None and due > now:
            sets, removed = heads.redue(now, None)
            table.update(run_key(run_id), HEAD, sets, remove=removed, when="due = :was", values={"was": due})
            released += 1
        table.delete(_key(function_id), run_id)
    return released


def due_now(runs: RunStore, clock: Clock, run_id: str) -> None:
    """Make the run due: a message for it had no queue, so the sweep checks the run and says why it does not go on."""
    head, now = runs.head(run_id), clock.now()
    if head is not None and head.due is not None and head.due > now:
        runs.redue(run_id, head.due, now, head.reason)


def _key(function_id: str) -> str:
    return f"HELD#{function_id}"
