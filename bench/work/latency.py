"""Measures the latency of one event at a time: from its POST to the end of its one-step run.

The end is the last act of the function's body, after its step was made durable. What the platform itself reports
(`ended_at`, to the ms) is read afterwards as a check.
"""

from __future__ import annotations

import time
from datetime import datetime
from statistics import median

from peers.tidemill import Tidemill

from work.base import Reach, Rig, Row, ms, quantile, settled

ROUNDS = 3
WARM = 100
ROWS = (
    Row("event POST → one-step run ended, p50", "p50", "ms", (Reach(0.4, "restate"), Reach(4))),
    Row("the same, p99", "p99", "ms"),
    Row("the same, p50, by the run's own `ended_at`", "reported", "ms"),
)


def measure(rig: Rig) -> dict[str, float]:
    count = rig.count(300, 50)
    with rig.open(WARM) as stage:
        clock_gap = time.time_ns() - time.monotonic_ns()
        sent: dict[str, int] = {}
        took: list[float] = []
        for i in range(count):
            key = f"k{i}"
            sent[key], ended = stage.one("bench/one", key)
            took.append(ms(ended - sent[key]))
        settled("latency", count + WARM + 1, stage.peer)
        values = {"p50": median(took), "p99": quantile(took, 0.99)}
        if isinstance(stage.peer, Tidemill):
            values["reported"] = reported(stage.peer, {k: ms(ns + clock_gap) for k, ns in sent.items()})
        return values


def reported(peer: Tidemill, sent_ms: dict[str, float]) -> float:
    """The median from the same sendings to the `ended_at` of GET /v1/runs."""
    ended = {
        run["output"]["k"]: datetime.fromisoformat(run["ended_at"]).timestamp() * 1000 for run in peer.runs("completed")
    }
    return median(ended[key] - at for key, at in sent_ms.items())
