"""Computes when a failed attempt is tried again."""

from __future__ import annotations

from tidemill.model import Backoff, Failure


def delay(backoff: Backoff, failures: int, random: float) -> int:
    """Milliseconds until the attempt after the `failures`-th failure: exponential backoff with full jitter.

    Full jitter, so that runs that failed together do not come back together
    (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    ceiling = min(float(backoff.cap), backoff.first * backoff.factor ** min(failures - 1, 64))
    return int(ceiling * random)


def retry_at(backoff: Backoff, failures: int, failure: Failure, now: int, random: float) -> int:
    """The time of the next attempt; an error that names its own time decides."""
    if failure.retry_after is not None:
        return max(now, failure.retry_after)
    return now + delay(backoff, failures, random)
