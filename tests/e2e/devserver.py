"""A real `tidemill dev` in a folder of its own, for tests: started, asked, killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

SRC = Path(__file__).resolve().parents[2] / "src"
T = TypeVar("T")
PATIENCE = 120.0  # seconds: what hangs fails by it; what is slow, on a machine that does much else, does not


def eventually(look: Callable[[], T], within: float = PATIENCE) -> T:
    """The first true answer of `look`; fails with its last one."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {within:.0f} s"
        time.sleep(0.02)
    return found


class DevServer:
    """`folder` holds the user's code; data goes to `.tidemill` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[bytes]
        self._log = folder / "out.txt"

    def write(self, name: str, code: str) -> None:
        """Write a file as an editor does: whole, in one move."""
        path = self.folder / name
        path.with_suffix(".new").write_text(code)
        path.with_suffix(".new").rename(path)

    def launch(self, *options: str, ulimit: int | None = None) -> None:
        """Start it, on the port that it had before."""
        command = [sys.executable, "-m", "tidemill_local.cli", "dev", "--port", str(self.port), *options]
        if ulimit is not None:
            command = ["sh", "-c", f'ulimit -f {ulimit}; exec "$@"', "sh", *command]
        environment = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONUNBUFFERED": "1"}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        self.port = self.port or free_port()
        self.launch(*options)
        eventually(self.healthy)

    def output(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def healthy(self) -> bool:
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            assert self.process.poll() is None, self.output()
            return False

    def refuses(self) -> bool:
        """Whether nobody listens on its port any more."""
        try:
            self.ask("GET", "/health")
        except OSError:
            return True
        return False

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def send(self, name: str, data: dict[str, Any] | None = None, count: int = 1) -> list[str]:
        status, answer = self.ask("POST", "/e/test", [{"name": name, "data": data or {}}] * count)
        assert status == 200, answer
        return list(answer["ids"])

    def statuses(self) -> dict[str, int]:
        """How many runs have each status, as the data folder says."""
        database = sqlite3.connect(f"file:{self.folder / '.tidemill' / 'tidemill.db'}?mode=ro", uri=True)
        try:
            return dict(database.execute("SELECT status, count(*) FROM run GROUP BY status"))
        finally:
            database.close()

    def completed(self, count: int) -> bool:
        return self.statuses() == {"completed": count}

    def lines(self, name: str) -> list[str]:
        """What the functions have written into a file of theirs."""
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def descendants(self) -> list[int]:
        """The processes that work in this folder, the server itself aside (Linux)."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) not in (os.getpid(), self.process.pid):
                try:
                    if (entry / "cwd").readlink() == self.folder and "State:\tZ" not in (entry / "status").read_text():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return sorted(found)

    def worker(self) -> int:
        """The pid of the worker: the one that leads a process group of its own."""
        return next(pid for pid in self.descendants() if os.getpgid(pid) == pid)

    def zygote(self) -> int:
        return next(pid for pid in self.descendants() if os.getpgid(pid) != pid)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
