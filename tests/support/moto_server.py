"""moto's AWS over HTTP, for processes that are not the test's own: what AWS_ENDPOINT_URL leads to.

The test itself may call the same AWS in its process. One request is answered at a time: moto is not made for threads.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tidemill.aws.calls.client import Request
from tidemill_local.testing.moto import MotoTransport

_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/")


class MotoServer:
    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._moto = MotoTransport()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> MotoServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        found = _SCOPE.search(headers.get("authorization", ""))
        service = found[1] if found else ""
        operation = headers.get("x-amz-target", method).rpartition(".")[2]
        host = f"{service}.eu-west-1.amazonaws.com"
        request = Request(service, operation, method, True, host, target, {**headers, "host": host}, body, 10)
        with self._lock:
            self.calls[f"{service} {operation}"] += 1
            return self._moto(request)


def _handler(server: MotoServer) -> type[BaseHTTPRequestHandler]:
    class Aws(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "content-length"}
            status, found, content = server.answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in found.items():
                if name not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            with suppress(ConnectionError):  # who asked may have been killed
                self.end_headers()
                self.wfile.write(content)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    return Aws
