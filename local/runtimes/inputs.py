"""Serves inputs that are too large for an argument over HTTP, under an unguessable path, for the duration of a step. A
process reads from the loopback address; a container from an address of the machine that it can reach."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
_FREEBIND = 15  # IP_FREEBIND of Linux, which Python has no name for


class InputServer:
    """`address`: where it listens. `host`: the name for readers, if not that address.

    `early`: the address may become one of this machine later (Linux).
    """

    def __init__(self, address: str = LOOPBACK, host: str = "", *, early: bool = False) -> None:
        self._address = address
        self._early = early
        self._host = host or address
        self._inputs: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @contextlib.contextmanager
    def serving(self, data: bytes) -> Generator[str]:
        """The argument to give instead of `data`. Raises OSError if the address is not one of this machine."""
        path = "/" + secrets.token_urlsafe(24)
        self._inputs[path] = data
        try:
            yield json.dumps({"input_url": f"http://{self._host}:{self._port()}{path}"}, separators=(",", ":"))
        finally:
            del self._inputs[path]

    def close(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None

    def _port(self) -> int:
        with self._lock:
            if self._server is None:
                self._server = _bound(self._address, self._inputs, early=self._early)
                threading.Thread(target=self._server.serve_forever, name="tidemill-inputs", daemon=True).start()
            return self._server.server_port


def _bound(address: str, inputs: dict[str, bytes], *, early: bool) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer((address, 0), _handler(inputs), bind_and_activate=False)
    server.daemon_threads = True
    try:
        if early:
            server.socket.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        server.server_bind()
        server.server_activate()
    except BaseException:
        server.server_close()
        raise
    return server


def _handler(inputs: dict[str, bytes]) -> type[BaseHTTPRequestHandler]:
    class Inputs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = inputs.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            """No access log."""

    return Inputs
