"""dramatiq on Redis: a task queue, no run state."""

from __future__ import annotations

import proc

from peers.base import HOME, python, venv
from peers.redis import RedisPeer, install_redis


class Dramatiq(RedisPeer):
    name = "dramatiq"
    label = "dramatiq"
    work = frozenset({"latency", "throughput", "fan", "startup"})

    def install(self) -> None:
        venv(self.name, "dramatiq[redis]==2.2.1")
        install_redis()

    def launch(self) -> None:
        super().launch()
        self.spawn("worker", [HOME / self.name / "bin" / "dramatiq"], "dramatiq_app --processes 2 --threads 8")
        self.spawn("door", [python(self.name), proc.APPS / "dramatiq_app.py"], str(self.port))
