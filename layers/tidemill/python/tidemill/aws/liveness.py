"""A claim in AWS lives until the time it names: its Lambda's hard deadline, and a little more."""

from __future__ import annotations

from tidemill.core.journal import Claimed

GRACE = 10_000  # milliseconds after the deadline: for clocks that differ, and for a process that is being ended


class UntilThen:
    def alive(self, claim: Claimed, now: int) -> bool:
        return now <= claim.until
