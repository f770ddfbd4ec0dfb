"""Bulk replays and cancellations: pages of each job in turn, as long as there is time, and again in the next minute."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.aws.calls.client import AwsError
from tidemill.engine.intake import bulk
from tidemill.errors import Unavailable
from tidemill.ports import World


def sweep(world: World, more: Callable[[], bool]) -> list[str]:
    """What went wrong. Ends: each round takes a page of each job that has one, or drops the job for this minute."""
    problems: list[str] = []
    jobs = [job.id for job in world.jobs.running()]
    while jobs:
        for job_id in list(jobs):
            if not more():
                return problems
            try:
                if not bulk.turn(world, job_id):
                    jobs.remove(job_id)
            except (AwsError, Unavailable) as error:
                jobs.remove(job_id)
                problems.append(f"the bulk job {job_id}: {error}")
    return problems
