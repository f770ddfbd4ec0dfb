"""A world in memory behind the real handlers, over real HTTP: what the command line is tested against.

Its clock stands still until a test, or a command that waits, moves it; runs go as far as they can after every call.
"""

from __future__ import annotations

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.doubles import Clock, Entropy

from tidemill import App
from tidemill.core.journal import Claimed
from tidemill.engine.drive.claim import open_run
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.keeper import StoreKeeper
from tidemill.engine.intake import bulk, delayed
from tidemill.engine.intake.receive import DirectBus
from tidemill.ports import World
from tidemill_lambdas.keys import AnyKey
from tidemill_local.http.handlers import Handlers
from tidemill_local.http.payload import Answer, request_payload
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.store.database import MEMORY, Database


class Ready:
    def __init__(self) -> None:
        self.runs: deque[str] = deque()

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        if at is None:
            self.runs.append(run_id)

    def forget(self, run_id: str) -> None:
        pass


class Nobody:
    def alive(self, claim: Claimed, now: int) -> bool:
        return False


class MemoryServer:
    """Serves `apps` at `url`. `calls`: every request so far, as "METHOD /path"."""

    def __init__(self, *apps: App) -> None:
        self.database = Database(MEMORY)
        self.clock = Clock()
        self.calls: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.instead: deque[Answer | None] = deque()  # answers to give before the real ones; None: hang up
        self._functions = {id: function for app in apps for id, function in app.functions.items()}
        self._ready, self._lock, self._entropy = Ready(), threading.Lock(), Entropy()
        registry, bus = LocalRegistry(), DirectBus()
        registry.replace([function.spec for function in self._functions.values()], "v1")
        stores = (self.database.runs, self.database.events, self.database.waits, self.database.blobs)
        bus.world = World(
            *stores,
            self._ready,
            bus,
            registry,
            self.clock,
            self._entropy,
            Nobody(),
            self.database.flow,
            pauses=self.database.pauses,
            jobs=self.database.jobs,
        )
        self._world = bus.world
        self._handlers = Handlers(self._world, AnyKey())
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self.database.close()

    def advance(self, seconds: float) -> None:
        """Move the clock, and let whatever is due go on."""
        with self._lock:
            self.clock.ms += round(seconds * 1_000)
            for job in self.database.jobs.running():
                bulk.turn(self._world, job.id)
            for event_id, _ in self._world.events.delayed(self.clock.ms, 1_000):
                event = self._world.events.get(event_id)
                assert event is not None
                delayed.come(self._world, event)
            for head in self._world.runs.overdue(self.clock.ms, 1_000):
                self._ready.wake(head.run_id, head.function_id)
            self._settle()

    def answer(self, payload: dict[str, Any]) -> Answer:
        with self._lock:
            answer = self._handlers.answer(payload, "")
            self._settle()
            return answer

    def _settle(self) -> None:
        keeper = StoreKeeper(self._world)
        while self._ready.runs:
            opened = open_run(self._world, self._ready.runs.popleft(), "test", 2**53)
            if opened is not None:
                function = self._functions[opened.spec.id]
                drive(function, opened, keeper, self.clock, self._entropy, threads=False)


def _handler(server: MemoryServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.calls.append(f"{self.command} {self.path}")
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.bodies.append(body)
            named = {name.lower().encode(): value.encode() for name, value in self.headers.items()}
            payload = request_payload(self.command.encode(), self.path.encode(), named, body, "127.0.0.1")
            answer = server.instead.popleft() if server.instead else server.answer(payload)
            if answer is None:
                self.close_connection = True
                return
            self.wfile.write(answer.encode(head=False, close=False))

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
