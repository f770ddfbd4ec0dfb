"""Decides whether a claim is alive in AWS: until its Lambda's hard deadline, plus a grace."""

from __future__ import annotations

from tidemill.core.journal import Claimed

GRACE = 10_000  # milliseconds after the deadline, for clocks that differ and a process that is being stopped


class UntilThen:
    def alive(self, claim: Claimed, now: int) -> bool:
        return now <= claim.until
