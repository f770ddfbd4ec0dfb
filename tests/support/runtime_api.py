"""Lambda's Runtime API, as a server for one function: its handler runs in a process of its own, driven by the real
`awslambdaric`. What a process may do there it may do here: be cold or warm, raise, run out of time, die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

SRC = Path(__file__).parents[2] / "src"
_INIT = 120  # seconds that a process has for its start; Lambda gives 10, on a machine that does nothing else


class LambdaDied(Exception):
    """The process ended, or was ended, before it had answered."""


class FunctionError(RuntimeError):
    """The handler raised; `body` is what Lambda says of it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        super().__init__(body["errorMessage"])


@dataclass
class Function:
    """A Lambda function. `timeout`: seconds. `environment`: what its processes are given besides Lambda's own."""

    handler: str
    environment: dict[str, str]
    timeout: float = 30
    path: tuple[str, ...] = ()  # where its code is
    cold_starts: int = 0
    output: str = ""  # what its processes have printed
    _next: Queue[tuple[str, str, str] | None] = field(default_factory=Queue)
    _answers: Queue[Any] = field(default_factory=Queue)
    _process: subprocess.Popen[str] | None = None
    _count: int = 0
    _end_at: float = 0

    def __enter__(self) -> Function:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any, client_context: str = "") -> Any:
        """What the handler returns. Raises LambdaDied, or FunctionError with what it raised.

        `client_context`: JSON, as the client has sent it beside the event.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._count += 1
        self._end_at = time.monotonic() + _INIT  # until the process has asked for it
        self._next.put((f"request-{os.getpid()}-{self._count}", json.dumps(event), client_context))
        while time.monotonic() < self._end_at:
            if not self._answers.empty():
                kind, body = self._answers.get()
                if kind == "error":
                    raise FunctionError(body)
                return body
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.002)
        self._end()
        raise LambdaDied

    def _start(self) -> None:
        self._end()
        self._next, self._answers = Queue(), Queue()
        self.cold_starts += 1
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([*self.path, str(SRC)]),
            "PYTHONUNBUFFERED": "1",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            **self.environment,
        }
        command = [sys.executable, "-m", "awslambdaric", self.handler]
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output += line

    def _end(self) -> None:
        self._next.put(None)  # to the thread that waits for the next event on behalf of the process
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join(60)
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._process = None


def _handler(function: Function) -> type[BaseHTTPRequestHandler]:
    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = function._next.get()
            if given is None:
                self.close_connection = True
                return
            request_id, event, context = given
            function._end_at = time.monotonic() + function.timeout
            deadline = int((time.time() + function.timeout) * 1_000)
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(deadline))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:f")
            if context:
                self.send_header("Lambda-Runtime-Client-Context", context)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(event.encode())))
            self.end_headers()
            self.wfile.write(event.encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
            function._answers.put(("answer" if self.path.endswith("/response") else "error", body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Api
