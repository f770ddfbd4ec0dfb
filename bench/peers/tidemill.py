"""Tidemill, driven only through its public contract: `tidemill dev`, HTTP, and the Python API of bench_app."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import proc
from client import Batch, ask, request

from peers.base import Peer, UnavailableError

COMMAND = Path(sys.executable).parent / "tidemill"


class Tidemill(Peer):
    name = "tidemill"
    label = "Tidemill"
    work = frozenset(
        {"latency", "steps", "throughput", "fan", "flow", "naps", "startup", "kill", "growth", "graphs", "cli", "check"}
    )
    targets: tuple[Path, ...] = (proc.APPS / "bench_app.py",)
    limited = frozenset({"bench/ten", "bench/keyed", "bench/single", "bench/line"})

    def install(self) -> None:
        if not COMMAND.exists():
            raise UnavailableError("no `tidemill` command beside this python: run `make setup`")

    def launch(self) -> None:
        command: list[str | Path] = [COMMAND, "dev", *self.targets, "--data", self.room / "data"]
        self.spawn("server", command, f"--port {self.port}")

    def kill(self, what: str, worker_pid: int) -> None:
        server = self.processes["server"]
        proc.kill({"worker": {worker_pid}, "server": {server.pid}, "both": self.family()}[what])
        if what != "worker":
            server.wait()
            self.launch()

    def completed(self) -> int:
        return sum(1 for _ in self.runs("completed"))

    def runs(self, status: str, function: str = "") -> list[dict[str, Any]]:
        """GET /v1/runs, to its last page."""
        path = f"/v1/runs?status={status}&limit=1000" + (f"&function={function}" if function else "")
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            status_code, body = ask(self.port, Batch(request("GET", path + cursor)))
            if status_code != 200:
                raise UnavailableError(f"GET {path} answered {status_code}: {body[:200]!r}")
            page = json.loads(body)
            found += page["data"]
            if not page["cursor"]:
                return found
            cursor = "&cursor=" + quote(page["cursor"], safe="")
