"""Celery on Redis: a task queue, no run state (results are off)."""

from __future__ import annotations

import proc

from peers.base import python, venv
from peers.redis import RedisPeer, install_redis


class Celery(RedisPeer):
    name = "celery"
    label = "Celery"
    work = frozenset({"latency", "throughput", "fan", "flow", "startup"})
    limited = frozenset({"bench/ten"})  # by the size of its pool; nothing by key

    def install(self) -> None:
        venv(self.name, "celery[redis]==5.7.0")
        install_redis()

    def launch(self) -> None:
        super().launch()
        options = "--concurrency 2 --without-gossip --without-mingle --without-heartbeat --loglevel ERROR"
        self.spawn("worker", [python(self.name), "-m", "celery", "-A", "celery_app", "worker"], options)
        self.spawn("door", [python(self.name), proc.APPS / "celery_app.py"], str(self.port))
