"""huey on SQLite: a task queue, no run state. It polls: 1 ms, no backoff, or its latency would be the poll's."""

from __future__ import annotations

from pathlib import Path

import proc

from peers.base import HOME, Peer, python, venv


class Huey(Peer):
    name = "huey"
    label = "huey"
    work = frozenset({"latency", "throughput", "fan", "startup"})

    def install(self) -> None:
        venv(self.name, "huey==3.5.4")

    def launch(self) -> None:
        polling = "--delay 0.001 --max-delay 0.001 --no-periodic --quiet"
        consumer: list[str | Path] = [HOME / self.name / "bin" / "huey_consumer", "huey_app.huey"]
        self.spawn("consumer", consumer, f"--workers 2 --worker-type process {polling}")
        self.spawn("door", [python(self.name), proc.APPS / "huey_app.py"], str(self.port))
