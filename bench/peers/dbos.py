"""DBOS on SQLite: a library, so its one process is the door and the worker. No kill here: nothing is apart."""

from __future__ import annotations

import proc

from peers.base import Peer, python, venv


class Dbos(Peer):
    name = "dbos"
    label = "DBOS"
    work = frozenset({"latency", "steps", "throughput", "fan", "flow", "naps", "startup"})
    limited = frozenset({"bench/ten", "bench/keyed", "bench/single"})
    flow_runs = 500  # 5,000 would take three minutes

    def install(self) -> None:
        venv(self.name, "dbos==3.4.0")

    def launch(self) -> None:
        self.spawn("server", [python(self.name), proc.APPS / "dbos_app.py", str(self.port), self.room])
