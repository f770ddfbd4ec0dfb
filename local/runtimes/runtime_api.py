"""Runs one Lambda function in a separate process, and serves Lambda's Runtime API to it.

The process runs AWS's own runtime client. That asks `GET …/invocation/next` and is answered with an event; it POSTs
what the handler returned (`…/response`) or raised (`…/error`), and asks for the next. If the module cannot be
loaded, the client reports it (`…/init/error`) and ends.

There is no server thread: the invoking thread is the server until it has its answer, and between two invocations the
process waits with an unread request, frozen like a Lambda. Its output is the log.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tidemill.limits import KIB, SECOND
from tidemill_local.runtimes.guard import GUARD, end_of
from tidemill_local.runtimes.runtime_wire import Connection, LambdaExitedError, Request

INIT = 10.0  # seconds until it asks for its first event, as in Lambda
_CHUNK = 64 * KIB
_LOOK = 50  # milliseconds between two checks of a process, where the system does not report its end
_REGION = "us-east-1"  # the default: in Lambda there always is one
_ARN = "arn:aws:lambda:{region}:000000000000:function:{name}"


class LambdaTimeoutError(Exception):
    """`init`: the process had not yet asked for an event."""

    def __init__(self, init: bool) -> None:
        self.init = init
        super().__init__("init" if init else "handler")


class Answer(NamedTuple):
    """The handler's result or, with `error`, its exception; as JSON. `last`: the process will not answer again."""

    body: bytes
    error: bool
    last: bool = False


class LambdaProcess:
    """Used by one thread at a time. After an exception it has to be ended."""

    def __init__(self, folder: Path, handler: str, memory: int, name: str) -> None:
        self._name = name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: dict[int, Connection] = {}
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._environment = _environment(folder, handler, memory, name, address)
        self._process = subprocess.Popen(  # noqa: S603  the user's own code, as they asked
            [sys.executable, "-m", "awslambdaric", handler], cwd=folder, env=self._environment, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        GUARD.watch(self._process.pid)
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)
        self._end = end_of(self._process.pid)
        self._poll = select.poll()
        for fd in (self._listener.fileno(), self._output, *(() if self._end is None else (self._end,))):
            self._poll.register(fd, select.POLLIN)

    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        GUARD.end(self._process.pid)
        with self._process:
            pass
        for connection in self._connections.values():
            connection.sock.close()
        self._connections.clear()
        self._listener.close()
        if self._end is not None:
            os.close(self._end)
            self._end = None

    def invoke(self, event: bytes, timeout: float, log: Callable[[bytes], object]) -> Answer:
        """`timeout` in seconds, from the delivery of the event."""
        deadline = time.monotonic() + INIT
        request_id = str(uuid.uuid4())
        asked = False
        while True:
            connection, request = self._next(deadline, asked, log)
            place = request.path.partition("/runtime/")[2]
            if request.method == "GET" and place == "invocation/next" and not asked:
                asked = True
                deadline = time.monotonic() + timeout
                connection.reply(200, event, self._headers(request_id, timeout))
                continue
            known = place in ("init/error", f"invocation/{request_id}/response", f"invocation/{request_id}/error")
            connection.reply(202 if known and request.method == "POST" else 404, b"{}", {})
            if known and request.method == "POST":
                self._drain(log)
                return Answer(request.body, place.endswith("error"), place == "init/error")

    def exit_status(self) -> str:
        """How the process ended, in Lambda's words."""
        code = self._process.wait()
        return f"exit status {code}" if code >= 0 else f"signal: {-code}"

    def _headers(self, request_id: str, timeout: float) -> dict[str, str]:
        arn = _ARN.format(region=self._environment["AWS_REGION"], name=self._name)
        return {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + timeout) * SECOND)),
            "Lambda-Runtime-Invoked-Function-Arn": arn,
        }

    def _next(self, deadline: float, asked: bool, log: Callable[[bytes], object]) -> tuple[Connection, Request]:
        """The next request; meanwhile its output is logged."""
        while True:
            for connection in self._connections.values():
                request = connection.request()
                if request is not None:
                    return connection, request
            left = deadline - time.monotonic()
            if left <= 0:
                raise LambdaTimeoutError(init=not asked)
            wait = int(left * SECOND) + 1
            ready = [fd for fd, _ in self._poll.poll(wait if self._end is not None else min(wait, _LOOK))]
            heard = [self._hear(fd) for fd in ready if fd in self._connections or fd == self._listener.fileno()]
            if self._output in ready:
                self._read(log)
            if not any(heard) and (self._end in ready if self._end is not None else not self.alive()):
                self._drain(log)
                raise LambdaExitedError(asked)

    def _hear(self, fd: int) -> bool:
        """Wait for activity; whether there is any."""
        if fd == self._listener.fileno():
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[sock.fileno()] = Connection(sock)
            self._poll.register(sock.fileno(), select.POLLIN)
            return True
        if self._connections[fd].receive():
            return True
        self._poll.unregister(fd)
        self._connections.pop(fd).sock.close()
        return False

    def _read(self, log: Callable[[bytes], object]) -> bool:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        log(data.replace(b"\r", b"\n"))  # the runtime client's way to keep the lines of a traceback together
        if not data:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._output)
        return bool(data)

    def _drain(self, log: Callable[[bytes], object]) -> None:
        """Log the output before the answer."""
        for _ in range(16):
            if not self._read(log):
                break


def _environment(folder: Path, handler: str, memory: int, name: str, address: str) -> dict[str, str]:
    """Lambda's own variables over those of the worker, whose credentials are the function's."""
    known = os.environ
    region = known.get("AWS_REGION") or known.get("AWS_DEFAULT_REGION") or _REGION
    return {
        **known,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only; and a .pyc compares only seconds
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), known.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        "TZ": ":UTC",
        "_HANDLER": handler,
    }
