"""The real clock and the real source of randomness."""

from __future__ import annotations

import os
import time


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000


class SystemEntropy:
    def random(self) -> float:
        return int.from_bytes(os.urandom(7), "big") * 2.0**-56

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)
