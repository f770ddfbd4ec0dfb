"""Bulk jobs: replays and cancellations of many runs, processed in turns."""

from __future__ import annotations

from typing import Protocol

from tidemill.model import Job


class Jobs(Protocol):
    def put(self, job: Job) -> bool:
        """Keep a new job. False: one with its id exists, and stays as it is."""
        ...

    def get(self, job_id: str) -> Job | None:
        """Never stale."""
        ...

    def change(self, was: Job, job: Job) -> bool:
        """Put `job` in place of `was`. False: it is not that any more."""
        ...

    def page(self, kind: str, limit: int, cursor: tuple[int, str] | None) -> list[Job]:
        """Jobs of this kind, newest first; `cursor`: (created_at, id) of the last one before."""
        ...

    def running(self) -> list[Job]:
        """The jobs that are to be worked on."""
        ...


class NoJobs:
    """A world without bulk jobs."""

    def put(self, job: Job) -> bool:  # noqa: ARG002
        return False

    def get(self, job_id: str) -> Job | None:  # noqa: ARG002
        return None

    def change(self, was: Job, job: Job) -> bool:  # noqa: ARG002
        return False

    def page(self, kind: str, limit: int, cursor: tuple[int, str] | None) -> list[Job]:  # noqa: ARG002
        return []

    def running(self) -> list[Job]:
        return []
