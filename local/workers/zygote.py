"""The zygote: a small process that has the engine imported and forks a worker for each load of the user's code.

A fork takes a few milliseconds; a fresh interpreter with its imports takes a few hundred. Memory that the
workers share with the zygote is used once. The zygote itself never imports user code and starts no thread.

The zygote also ensures that no process outlives the server. When its connection to the server ends, it kills every
worker's process group and its orphans (`orphans`), and exits. (If the zygote itself is killed, its workers get SIGKILL
from the kernel on Linux; on other systems their connection to the server ends.)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
from typing import NamedTuple, NoReturn

import msgspec

from tidemill_local.workers import board, orphans, wire
from tidemill_local.workers.board import Board

_fork_of: msgspec.msgpack.Decoder[wire.Fork] = msgspec.msgpack.Decoder(wire.Fork)


def fork_zygote() -> tuple[int, socket.socket]:
    """Fork the zygote from this process. Returns its pid and connection. Call it while this process is still small."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    ours.close()
    return _main(theirs)


def spawn_zygote() -> tuple[int, socket.socket]:
    """Start a zygote in a fresh interpreter to replace a killed one: the server is too large to fork now."""
    ours, theirs = socket.socketpair()
    with theirs:
        code = "import sys; from tidemill_local.workers.zygote import adopt; adopt(int(sys.argv[1]))"
        os.set_inheritable(theirs.fileno(), True)
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code, str(theirs.fileno())], _environment())
    return pid, ours


class Ordered(NamedTuple):
    """The server's part of an ordered worker: its end of the control connection, and the board."""

    control: socket.socket
    board: Board


def send_order(zygote: socket.socket, order: wire.Fork) -> Ordered:
    """Ask the zygote to fork a worker."""
    ours, theirs = socket.socketpair()
    shared = board.create()
    with theirs:
        socket.send_fds(zygote, [wire.frame(order)], [theirs.fileno(), shared])
    try:
        return Ordered(ours, Board(shared))
    finally:
        os.close(shared)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def adopt(fileno: int) -> NoReturn:
    """The main function of a spawned zygote."""
    connection = socket.socket(fileno=fileno)
    connection.set_inheritable(False)
    _main(connection)


def _main(connection: socket.socket) -> NoReturn:
    status = 1
    try:
        _Zygote(connection).run()
        status = 0
    except ConnectionError:
        status = 0  # the server has ended, and has reported why
    except Exception as error:
        print(f"tidemill: the engine cannot be started: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(status)  # this process is a copy of the server: the server's exit handlers must not run


class _Zygote:
    def __init__(self, connection: socket.socket) -> None:
        self._server = connection
        self._frames = wire.Frames()
        self._fds: list[int] = []
        self._workers: dict[int, int] = {}  # pid -> load
        self._wake, self._woken = socket.socketpair()

    def run(self) -> None:
        """Fork workers until the server ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C, and informs the workers
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        orphans.take_in()
        _preload()
        try:
            while self._serve():
                pass
        finally:
            for pid in self._workers:
                kill_group(pid)
            for pid in self._workers:
                os.waitpid(pid, 0)
            orphans.kill(lambda _: False)

    def _serve(self) -> bool:
        readable, _, _ = select.select([self._server, self._wake], [], [])
        if self._wake in readable:
            self._wake.recv(4096)
            self._reap()
        if self._server not in readable:
            return True
        try:
            data, fds, _, _ = socket.recv_fds(self._server, 65_536, 8)
        except ConnectionError:
            return False  # the server has ended before it read everything
        self._fds += fds
        for message in self._frames.feed(data):
            self._fork(_fork_of.decode(message), self._fds.pop(0), self._fds.pop(0))
        return bool(data)

    def _fork(self, order: wire.Fork, control: int, shared: int) -> None:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            self._become_worker(order, control, shared)
        os.close(control)
        os.close(shared)
        self._workers[pid] = order.load
        self._tell(wire.Forked(order.load, pid))

    def _become_worker(self, order: wire.Fork, control: int, shared: int) -> NoReturn:
        status = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for connection in (self._server, self._wake, self._woken):
                connection.close()
            for other in self._fds:
                os.close(other)
            from tidemill_local.workers.worker import work

            memory = Board(shared)
            os.close(shared)
            status = work(order, socket.socket(fileno=control), memory)
        except ConnectionError:
            status = 0  # the server has ended, and has reported why
        except BaseException as error:
            print(f"tidemill: a worker stopped: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Reap children that have ended: workers, and orphans of workers."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                load = self._workers.pop(pid, None)
                if load is not None:
                    kill_group(pid)  # processes that the user's code started die with its worker
                    self._tell(wire.Exited(load, pid, os.waitstatus_to_exitcode(status)))
                    orphans.kill(self._spared)

    def _spared(self, pid: int) -> bool:
        """Whether it is a worker, or was started by one that lives."""
        return pid in self._workers or orphans.marked(pid) in self._workers

    def _tell(self, message: wire.FromZygote) -> None:
        with contextlib.suppress(OSError):  # the server has ended: the next read shows it
            self._server.sendall(wire.frame(message))


def kill_group(pid: int) -> None:
    """Kill the worker `pid` and whatever it has started; each worker leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _ignore(number: int, frame: object) -> None:
    """Does nothing: the wake-up descriptor reports that a child has ended."""


def _preload() -> None:
    """Import everything that a worker needs before the user's code; these objects are shared, so freeze them for the
    collector."""
    import gc

    importlib.import_module("tidemill_local.workers.worker")
    gc.collect()
    gc.freeze()
