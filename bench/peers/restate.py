"""Restate: its server from npm (the native binary, without npm's wrapper) and its Python SDK under hypercorn.

It has no arrays: a batch is so many one-way calls, pipelined on the connection. A service has no fan-out by
event: one event for five functions is five calls.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence

import proc
from client import Batch, ask, request

from peers.base import ARRAY, HOME, Peer, UnavailableError, run, venv

SERVER = "@restatedev/restate-server@1.7.12"
PACKAGES = ("restate-sdk==1.3.0", "hypercorn==0.18.0")
HANDLERS = {"bench/one": "one", "bench/fan": "one", "bench/steps": "steps", "bench/nap": "nap"}


class Restate(Peer):
    name = "restate"
    label = "Restate"
    work = frozenset({"latency", "steps", "throughput", "fan", "naps", "startup", "kill"})

    def __init__(self) -> None:
        super().__init__()
        self.admin, self.node, self.service = proc.free_port(), proc.free_port(), proc.free_port()

    def install(self) -> None:
        venv(self.name, *PACKAGES)
        if list(self.binaries()):
            return
        if not shutil.which("npm"):
            raise UnavailableError("its server comes from npm, and there is no npm here")
        run("npm", "install", "--prefix", HOME / self.name, "--ignore-scripts", "--no-fund", "--no-audit", SERVER)
        if not list(self.binaries()):
            raise UnavailableError("npm has no Restate server for this kind of machine")

    def binaries(self) -> list[str]:
        return [str(p) for p in (HOME / self.name).glob("node_modules/@restatedev/restate-server-*/bin/restate-server")]

    def launch(self) -> None:
        self.launch_server()
        self.launch_worker()

    def launch_server(self) -> None:
        address = "127.0.0.1"
        self.spawn(
            "server",
            [self.binaries()[0], "--base-dir", self.room / "data"],
            f"--listen-mode tcp --node-name bench --log-filter warn --bind-address {address}:{self.node}",
            RESTATE_INGRESS__BIND_ADDRESS=f"{address}:{self.port}",
            RESTATE_ADMIN__BIND_ADDRESS=f"{address}:{self.admin}",
            RESTATE_ADVERTISED_ADDRESS=f"http://{address}:{self.node}",
            RESTATE_DISABLE_TELEMETRY="true",
        )

    def launch_worker(self) -> None:
        options = f"--bind 127.0.0.1:{self.service} --workers 0 restate_app:app"
        self.spawn("worker", [HOME / self.name / "bin" / "hypercorn"], options)

    def ready(self, key: str, seconds: float = 30) -> None:
        body = json.dumps({"uri": f"http://127.0.0.1:{self.service}"}).encode()
        until = time.monotonic() + seconds
        while True:
            try:
                if ask(self.admin, Batch(request("POST", "/deployments", body)))[0] < 300:
                    break
            except OSError:
                pass
            if time.monotonic() > until:
                raise UnavailableError(f"restate did not start: {self.last_words()}")
            time.sleep(0.003)
        super().ready(key, seconds)

    def batch(self, event: str, keys: Sequence[str], n: float = 0, ids: bool = False) -> Batch:
        calls = [key for k in keys for key in ([f"{k}.{i}" for i in range(5)] if event == "bench/fan" else [k])]
        path = f"/Bench/{HANDLERS[event]}/send"
        return Batch(
            b"".join(
                request("POST", path, json.dumps({"k": k, "n": n}).encode(), f"idempotency-key: {k}\r\n" if ids else "")
                for k in calls
            ),
            len(calls),
        )

    def batches(self, event: str, keys: Sequence[str], n: float = 0, ids: bool = False) -> list[Batch]:
        size = ARRAY // 5 if event == "bench/fan" else ARRAY  # 100 calls a batch, so that all connections have work
        return [self.batch(event, keys[i : i + size], n, ids) for i in range(0, len(keys), size)]

    def completed(self) -> int:
        query = json.dumps({"query": "select count(*) as n from sys_invocation where status = 'completed'"}).encode()
        status, body = ask(self.admin, Batch(request("POST", "/query", query, "accept: application/json\r\n")))
        if status != 200:
            raise UnavailableError(f"restate's query answered {status}: {body[:200]!r}")
        return int(json.loads(body)["rows"][0]["n"])

    def kill(self, what: str, worker_pid: int) -> None:  # noqa: ARG002  (it has one worker)
        launches = {"server": self.launch_server, "worker": self.launch_worker}
        parts = [what] if what in launches else list(launches)
        proc.kill(self.processes[part].pid for part in parts)
        for part in parts:
            self.processes[part].wait()
            launches[part]()
