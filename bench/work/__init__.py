"""Every workload, in the table's order. Each module has ROWS, ROUNDS and measure(rig)."""

from __future__ import annotations

from types import ModuleType

from work import check, cli, fan, flow, graphs, growth, kill, latency, naps, startup, steps, throughput

WORK: dict[str, ModuleType] = {
    "latency": latency,
    "steps": steps,
    "throughput": throughput,
    "fan": fan,
    "flow": flow,
    "naps": naps,
    "startup": startup,
    "kill": kill,
    "growth": growth,
    "graphs": graphs,
    "cli": cli,
    "check": check,
}
