"""Replays and cancellations in bulk: a job goes through a function's runs, newest first, a page a turn.

The job's record holds how far it has come. A turn acts on a page of runs and then moves the record on, on the condition
that nobody else has: a turn that is killed in between is done again, and so is one that two processes do at once. All
that it does to a run may be done twice, for the id of a replay's run derives from the run and the job.

What the job makes is newer than where it begins, so it never meets its own runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from tidemill.core import expression
from tidemill.core.journal import Started
from tidemill.core.view.runs import run_view
from tidemill.engine.intake.rerun import rerun
from tidemill.engine.runs.end import cancel
from tidemill.errors import JournalError
from tidemill.limits import SECOND
from tidemill.model import Head, Job, event_fields
from tidemill.ports import Page, RunQuery, World

PAGE = 100
ROOTS = frozenset({"run", "event"})
SHOWN = 10
COUNTED = 10_000


class Dry(msgspec.Struct, frozen=True):
    """What a job would act on. `more`: there are more than were counted."""

    count: int
    more: bool
    heads: list[Head]


def dry(world: World, job: Job) -> Iterator[Dry | None]:
    """Count what the job matches; None while it goes on."""
    count, heads = 0, list[Head]()
    while True:  # ends: each page begins after the one before
        page = _page(world, job)
        for head in page:
            if _matches(world, job, head) is not False:
                if count == COUNTED:
                    yield Dry(count, True, heads)
                    return
                count += 1
                heads += [head] if len(heads) < SHOWN else []
        cursor = page.next_cursor(PAGE, _key)
        if cursor is None:
            yield Dry(count, False, heads)
            return
        job = msgspec.structs.replace(job, cursor=cursor)
        yield None


def turn(world: World, job_id: str) -> bool:
    """Work on the job: one page at most. False: there is nothing to do for now."""
    job, now = world.jobs.get(job_id), world.clock.now()
    if job is None or job.status != "running":
        return False
    if job.kind == "replay" and world.registry.function(job.function_id) is None:
        return False  # a server that has just started loads its code still: the job waits
    most = _allowed(job, now)
    if most == 0:
        return False
    page = _page(world, job)
    done = job
    for head in page:
        if done.matched - job.matched >= most:
            break
        matches = _matches(world, job, head)
        if matches is not False:
            outcome = _act(world, job, head) if matches else "failed"
            done = msgspec.structs.replace(done, matched=done.matched + 1, **{outcome: getattr(done, outcome) + 1})
        done = msgspec.structs.replace(done, cursor=_key(head))
    else:
        cursor = page.next_cursor(PAGE, _key)
        if cursor is None:
            done = msgspec.structs.replace(done, status="completed", ended_at=now)
        else:
            done = msgspec.structs.replace(done, cursor=cursor)
    return world.jobs.change(job, msgspec.structs.replace(done, turn_at=now)) and done.status == "running"


def set_status(world: World, job_id: str, status: str, of: tuple[str, ...]) -> Job | None:
    """Pause, resume or stop a job that has one of these statuses; the job as it then is. None: there is none."""
    for _ in range(100):
        job = world.jobs.get(job_id)
        if job is None or job.status not in of:
            return job
        now = world.clock.now()
        ended = now if status == "stopped" else None
        changed = msgspec.structs.replace(job, status=status, ended_at=ended, turn_at=now)
        if world.jobs.change(job, changed):
            return changed
    return world.jobs.get(job_id)


def _allowed(job: Job, now: int) -> int:
    """How many runs the rate allows by now; of one without a rate, a page."""
    if job.rate is None:
        return PAGE
    count, period = job.rate
    return min(PAGE, (min(now - job.turn_at, 60 * SECOND) * count) // period)


def _page(world: World, job: Job) -> Page[Head]:
    query = RunQuery(function_id=job.function_id, after=job.after, before=job.before, limit=PAGE, cursor=job.cursor)
    return world.runs.page(query)


def _key(head: Head) -> tuple[int, str]:
    return head.created_at, head.run_id


def _matches(world: World, job: Job, head: Head) -> bool | None:
    """None: the run cannot be read."""
    if head.status not in job.statuses or (job.kind == "cancellation" and head.due is None):
        return False
    if job.condition is None:
        return True
    try:
        records = world.runs.read(head.run_id)
    except JournalError:
        return None
    birth = records[0] if records else None
    event = birth.events[0] if isinstance(birth, Started) and birth.events else None
    variables = {"run": run_view(head, records), "event": event_fields(event) if event is not None else {}}
    return expression.compile(job.condition, ROOTS).holds(variables)


def _act(world: World, job: Job, head: Head) -> Literal["done", "skipped", "failed"]:
    try:
        if job.kind == "cancellation":
            reason = f"cancelled by the bulk cancellation {job.id}"
            return "done" if cancel(world, head.run_id, reason) else "skipped"
        rerun(world, head.run_id, id=job.id)
    except (LookupError, JournalError):  # one run that cannot be read must not stop the others
        return "failed"
    return "done"
