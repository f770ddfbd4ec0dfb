"""Every workload, in the table's order. Each module has ROWS, ROUNDS and measure(rig)."""

from __future__ import annotations

from types import ModuleType

from work import fan, growth, kill, latency, naps, startup, steps, throughput

WORK: dict[str, ModuleType] = {
    "latency": latency,
    "steps": steps,
    "throughput": throughput,
    "fan": fan,
    "naps": naps,
    "startup": startup,
    "kill": kill,
    "growth": growth,
}
