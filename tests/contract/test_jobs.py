"""The contract of Jobs."""

from __future__ import annotations

import msgspec

from tidemill.model import Job
from tidemill.ports import Jobs


def job(id: str, at: int = 10, kind: str = "replay") -> Job:
    return Job(id, kind, "shop.pay", ("failed",), at, at)  # type: ignore[arg-type]


def test_a_job_is_kept_once(jobs: Jobs) -> None:
    assert jobs.get("a") is None
    assert jobs.put(job("a"))
    assert not jobs.put(job("a", 99))
    assert jobs.get("a") == job("a")


def test_a_job_changes_only_from_what_it_is(jobs: Jobs) -> None:
    jobs.put(job("a"))
    moved = msgspec.structs.replace(job("a"), done=3, cursor=(5, "r"))
    assert jobs.change(job("a"), moved)
    assert not jobs.change(job("a"), moved)
    assert jobs.get("a") == moved


def test_running_jobs_are_told_until_they_pause_or_end(jobs: Jobs) -> None:
    jobs.put(job("a"))
    jobs.put(job("b", 20, "cancellation"))
    assert {each.id for each in jobs.running()} == {"a", "b"}
    paused = msgspec.structs.replace(job("a"), status="paused")
    assert jobs.change(job("a"), paused)
    assert [each.id for each in jobs.running()] == ["b"]
    assert jobs.change(paused, job("a"))
    assert {each.id for each in jobs.running()} == {"a", "b"}


def test_jobs_of_a_kind_are_listed_newest_first(jobs: Jobs) -> None:
    for number in range(5):
        jobs.put(job(f"j{number}", number))
    jobs.put(job("other", 9, "cancellation"))
    assert [each.id for each in jobs.page("replay", 3, None)] == ["j4", "j3", "j2"]
    assert [each.id for each in jobs.page("replay", 3, (2, "j2"))] == ["j1", "j0"]
