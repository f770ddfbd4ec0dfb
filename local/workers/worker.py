"""A worker: a process that holds one load of the user's code and runs it, each run in a slot, a thread of its own.

Its main thread loads the targets, sends their declarations to the server, and then only handles the server's messages:
more slots, drain, ping, or the end of the connection. A slot blocks on its own connection until it gets a run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.engine.drive.claim import Opened
from tidemill.engine.drive.drive import drive
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.host import Host
from tidemill.engine.drive.live import LiveRun
from tidemill.engine.drive.parking import Resumed
from tidemill.engine.drive.passed_by import Passed
from tidemill.model import Failure
from tidemill.run_logs import LogLine
from tidemill_local.console.progress import SHORT, clock
from tidemill_local.console.terminal import clean_lines
from tidemill_local.load import sources
from tidemill_local.server.clock import SharedClock
from tidemill_local.system import SystemEntropy
from tidemill_local.workers import orphans, wire
from tidemill_local.workers.board import Board
from tidemill_local.workers.keeper import ConnectionLostError, SocketKeeper
from tidemill_local.workers.parked import ParkingLot
from tidemill_local.workers.said import Said

if TYPE_CHECKING:
    from tidemill.sdk.function import Function
    from tidemill_local.load.targets import Targets

    Functions = dict[str, Function[Any, Any]]

_to_worker: msgspec.msgpack.Decoder[wire.ToWorker] = msgspec.msgpack.Decoder(wire.ToWorker)


def work(order: wire.Fork, server: socket.socket, board: Board) -> int:
    """Run a worker until its server releases it. Returns the exit code."""
    _settle_in()
    before = set(sys.modules)
    try:
        loaded = _load(order, lambda target: server.sendall(wire.frame(wire.Loading(target))))
        functions, webhooks = loaded.functions(), loaded.webhooks()
        secrets = loaded.secrets(os.environ)
    except BaseException as error:  # any exception of the user's import, including SystemExit
        from tidemill_local.load import mistakes

        files = sources.of_modules(before) + mistakes.files(error)
        broken = wire.Broken(mistakes.explain(error, Path(order.cwd)), files, mistakes.spots(error))
        server.sendall(wire.frame(broken))
        return 1
    files = sources.of_modules(before) + loaded.files
    specs = [function.spec for function in functions.values()]
    version = sources.version(files)
    told = wire.Loaded(specs, version, files, loaded.notes, loaded.places, loaded.schemas, webhooks, secrets)
    server.sendall(wire.frame(told))
    _Worker(server, functions, board, version).listen()
    return 0


@dataclass(slots=True)
class _Seat:
    """The connection that a thread serves; None while the thread holds parked code."""

    keeper: SocketKeeper | None


class _Worker:
    def __init__(self, server: socket.socket, functions: Functions, board: Board, version: str) -> None:
        self._server = server
        self._board = board
        self._version = version
        self._clock = SharedClock(lambda: board.offset)
        self._functions = functions
        self._draining = False
        self._speaking = threading.Lock()  # one thread at a time writes to the server
        self._paused: tuple[str, ...] = ()
        self._lot = ParkingLot()

    def listen(self) -> None:
        """Handle the server's messages until it closes the connection or releases this worker."""
        frames = wire.Frames()
        fds: list[int] = []
        while True:
            data, received, _, _ = socket.recv_fds(self._server, 65_536, 253)
            fds += received
            if not data:
                return
            for message in frames.feed(data):
                order = _to_worker.decode(message)
                self._obey(order, fds)

    def _obey(self, order: wire.ToWorker, fds: list[int]) -> None:
        match order:
            case wire.Ping():
                with self._speaking:
                    self._server.sendall(wire.frame(wire.Pong()))
            case wire.Drain():
                self._draining = True
                self._lot.close()
            case wire.Paused(functions):
                self._paused = functions
            case wire.Grow(count):
                for _ in range(count):
                    self._start_slot(SocketKeeper(fds.pop(0), fds.pop(0)))

    def _start_slot(self, keeper: SocketKeeper) -> None:
        threading.Thread(target=self._slot, args=(keeper,), name="tidemill-slot", daemon=True).start()

    def _slot(self, keeper: SocketKeeper) -> None:
        seat = _Seat(keeper)
        entropy = SystemEntropy()
        try:
            while seat.keeper is not None:
                assign = seat.keeper.assignment()
                function = self._functions[assign.head.function_id]
                opened = Opened(assign.head, function.spec, assign.records, assign.base)
                if self._lot.resume(opened, seat.keeper):
                    seat.keeper = None  # the thread with the parked code serves this connection now
                    return
                said = Said(self._log)
                drive(
                    function, opened, seat.keeper, self._clock, entropy,
                    stopping=partial(self._stopping, function.spec.id),
                    lot=lambda live: self._park(seat, live), host=self._host(assign.crash, said),
                )  # fmt: skip
                said.over()
        except ConnectionLostError:
            return
        except BaseException as error:  # an error of the engine: exceptions of the user's code fail the run
            print(clean_lines(f"tidemill: a slot gave up: {type(error).__name__}: {error}"), file=sys.stderr)  # noqa: T201
            if seat.keeper is not None:
                seat.keeper.give_up(failure_of(error, 0))
        finally:
            if seat.keeper is not None:
                seat.keeper.close()  # in any case the server learns that this claim is over

    def _host(self, crash: Failure | None, said: Said) -> Host:
        return Host(self._board, crash, beside_store=True, judge=self._passed, say=said, version=self._version)

    def _log(self, line: LogLine) -> None:
        with self._speaking, contextlib.suppress(OSError):  # the server has ended, and so will this process
            self._server.sendall(wire.frame(wire.Logged(line)))

    def _passed(self, passed: Passed) -> None:
        """Warn about nondeterministic code; the run continues."""
        print(clean_lines(f"! {clock(self._clock.now())} run {passed.run_id[-SHORT:]}: {passed}"), flush=True)  # noqa: T201

    def _park(self, seat: _Seat, live: LiveRun) -> Resumed | None:
        """Hold the code of a suspended run; meanwhile another thread serves the connection."""
        keeper, seat.keeper = seat.keeper, None
        assert keeper is not None
        parked = self._lot.enter(live)
        self._start_slot(keeper)
        parked.ready.wait()
        if parked.resumed is None:
            return None
        seat.keeper = parked.keeper
        return parked.resumed

    def _stopping(self, function_id: str) -> bool:
        return self._draining or function_id in self._paused


def _settle_in() -> None:
    """Set up the process: its own group (so that its children can be killed with it), no terminal input, line-buffered
    output."""
    os.setpgid(0, 0)
    os.environ[orphans.MARK] = str(os.getpid())
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _die_with_the_zygote()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)


def _die_with_the_zygote() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _load(order: wire.Fork, loading: Callable[[str], None]) -> Targets:
    from tidemill_local.load import envfile, targets

    cwd = Path(order.cwd)
    envfile.apply(cwd / order.env_file, required=order.env_file_required)
    os.environ.setdefault("TIDEMILL_URL", order.url)
    if order.event_key:
        os.environ.setdefault("TIDEMILL_EVENT_KEY", order.event_key)
    loaded = targets.load(order.targets, cwd, programs=True, loading=loading)
    _show_logs()
    return loaded


def _show_logs() -> None:
    """Show the log of the user's code, unless the code has configured logging itself."""
    if "logging" in sys.modules:
        import logging

        if not logging.getLogger().handlers:
            logging.basicConfig(level=logging.INFO, handlers=[_handler()])


def _handler() -> Any:
    """A handler that cleans lines for the terminal, because they may contain an event's data."""
    import logging

    class Clean(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return clean_lines(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Clean("%(levelname)s %(name)s: %(message)s"))
    return handler
