"""The runtime `wasm`: runs a WebAssembly module (WASI preview 1) in this process with wasmtime.

The module has its argument, a clock, randomness and its three streams: no file system, no network, no environment. Its
bounds: memory (a `memory.grow` beyond fails), fuel (about one per instruction, which ends an endless loop), and the
step's timeout (wasmtime's epochs, which a thread counts up while any module runs). A sleeping module executes nothing
that an epoch could interrupt, so this package has its own `poll_oneoff`, which knows the deadline.

Each module is compiled once for its content; the last few stay in memory.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.core.definition import Wasm
from tidemill.limits import MIB, SECOND
from tidemill.runtimes.extras import absent
from tidemill.runtimes.output import (
    ARGUMENT_BYTES,
    OUTPUT_BYTES,
    QUOTED,
    REFUSED,
    Bounded,
    Clock,
    StepLog,
    Streams,
    checked,
    encoded,
    exited,
    failed,
    printed,
    timed_out,
    too_much,
)
from tidemill.runtimes.wasi_poll import POLL, poll_type, poller

if TYPE_CHECKING:
    import wasmtime

    from tidemill.task import Task

TIMEOUT = 60 * SECOND
INPUT_URL = b'{"input_url":"file:///dev/stdin"}'
_TICK = 0.01  # seconds of an epoch
_COMPILED = 32  # modules
_TABLE_ELEMENTS = 1_000_000


class WasmRuntime:
    """`clock` is the time in milliseconds; `monotonic` is for tests."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._engine: wasmtime.Engine | None = None
        self._modules: OrderedDict[bytes, wasmtime.Module] = OrderedDict()
        self._ticker: _Ticker | None = None

    def __call__(self, task: Task) -> Any:
        runtime = task.step.runtime
        assert isinstance(runtime, Wasm)
        if (problem := absent("wasm")) is not None:
            raise failed(REFUSED, f"step {task.step.id!r} cannot be run: {problem}", retriable=False)
        module = self._module(task, _source(task))
        streams = Streams(Bounded(), StepLog(task))
        data = encoded(task)
        with tempfile.NamedTemporaryFile(prefix="tidemill-") as given:
            if len(data) > ARGUMENT_BYTES:
                given.write(data)
                given.flush()
                argument = INPUT_URL
            else:
                argument = data
            self._run(task, runtime, module, argument, given.name, streams)
        return checked(task, printed(streams.out.bytes()), self._clock())

    def close(self) -> None:
        """Drop the compiled modules."""
        with self._lock:
            self._modules.clear()

    def _free(self) -> None:
        self.close()
        self._engine = self._ticker = None

    def _run(
        self, task: Task, runtime: Wasm, module: wasmtime.Module, argument: bytes, stdin: str, streams: Streams
    ) -> None:
        import wasmtime

        full = False

        def take(data: bytes) -> int | None:
            nonlocal full
            full = full or not streams.out.take(data)
            return -errno.ENOSPC if full else None

        wasi = wasmtime.WasiConfig()
        wasi.argv = [Path(task.step.path or "step").name, argument.decode()]
        wasi.stdin_file = stdin
        wasi.stdout_custom = take
        wasi.stderr_custom = streams.log.take
        engine = self._prepared()
        timeout = task.step.timeout or TIMEOUT
        deadline = self._monotonic() + timeout / SECOND
        assert self._ticker is not None
        with wasmtime.Store(engine) as store, self._ticker:
            store.set_wasi(wasi)
            store.set_fuel(runtime.fuel)
            store.set_limits(
                memory_size=runtime.memory * MIB, table_elements=_TABLE_ELEMENTS, instances=1, tables=16, memories=1
            )
            store.set_epoch_deadline(int(timeout / SECOND / _TICK) + 1)
            problem: Exception | None = None
            try:
                _start(task, engine, store, module, partial(poller, lambda: deadline - self._monotonic()))
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                problem = error
            except TimeoutError as error:
                problem = error
            streams.log.end()
            if full:
                advice = "let it store the data, and print its address"
                raise too_much(task, "its standard output", OUTPUT_BYTES, advice)
            if problem is not None:
                self._fail(task, runtime, problem, timeout, streams)

    def _fail(self, task: Task, runtime: Wasm, problem: Exception, timeout: int, streams: Streams) -> None:
        import wasmtime

        said = f": {streams.log.last()}" if streams.log.last() else ""
        name = task.step.id
        if isinstance(problem, wasmtime.ExitTrap):
            if problem.code:
                how = f"its module ended with exit code {problem.code}"
                raise exited(task, how, streams, self._clock())
            return
        code = problem.trap_code if isinstance(problem, wasmtime.Trap) else None
        if isinstance(problem, TimeoutError) or code is wasmtime.TrapCode.INTERRUPT:
            raise timed_out(task, timeout, "its module") from problem
        if code is wasmtime.TrapCode.OUT_OF_FUEL:
            advice = 'give its runtime more with "fuel", or let it do less'
            message = f"step {name!r}: its module has used up its fuel ({runtime.fuel:,}); {advice}"
            raise failed("OutOfFuel", message, retriable=False) from problem
        if code is not None:
            raise failed(
                "Trap", f"step {name!r}: its module trapped ({code.name.lower().replace('_', ' ')}){said}",
                stack=str(problem)[:QUOTED],
            ) from problem  # fmt: skip
        message = f"step {name!r}: its module cannot be run within {runtime.memory} MB and WASI preview 1: {problem}"
        raise failed(REFUSED, message, retriable=False) from problem

    def _prepared(self) -> wasmtime.Engine:
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    import wasmtime

                    config = wasmtime.Config()
                    config.consume_fuel = True
                    config.epoch_interruption = True
                    engine = wasmtime.Engine(config)
                    self._ticker = _Ticker(engine)
                    self._engine = engine
                    atexit.register(self._free)  # before wasmtime, which frees them, is unloaded
        return self._engine

    def _module(self, task: Task, path: Path) -> wasmtime.Module:
        import wasmtime

        try:
            source = path.read_bytes()
        except OSError as error:
            said = f"step {task.step.id!r}: there is no WebAssembly module at {task.step.path}: {error.strerror}"
            raise failed(REFUSED, said, retriable=False) from error
        name = hashlib.sha256(source).digest()
        with self._lock:
            if name in self._modules:
                self._modules.move_to_end(name)
                return self._modules[name]
        try:
            code = source if source.startswith(b"\0asm") else bytes(wasmtime.wat2wasm(source))
            module = wasmtime.Module(self._prepared(), code)
        except wasmtime.WasmtimeError as error:
            said = (
                f"step {task.step.id!r}: {task.step.path} is no WebAssembly module that wasmtime can compile: {error}"
            )
            raise failed(REFUSED, said, retriable=False) from error
        with self._lock:
            self._modules[name] = module
            if len(self._modules) > _COMPILED:
                self._modules.popitem(last=False)
        return module


def _source(task: Task) -> Path:
    if task.step.path is None:
        said = f'step {task.step.id!r} names no module; give it a "path" to a .wasm or .wat file'
        raise failed(REFUSED, said, retriable=False)
    return Path(task.folder, task.step.path)


def _start(
    task: Task,
    engine: wasmtime.Engine,
    store: wasmtime.Store,
    module: wasmtime.Module,
    polled: Callable[..., Any],
) -> None:
    import wasmtime

    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    linker.allow_shadowing = True
    linker.define_func(*POLL, poll_type(), polled, access_caller=True)
    start = linker.instantiate(store, module).exports(store).get("_start")
    if not isinstance(start, wasmtime.Func):
        said = (
            f"step {task.step.id!r}: {task.step.path} has no _start to begin at; build it as a program (wasm32-wasip1)"
        )
        raise failed(REFUSED, said, retriable=False)
    start(store)


class _Ticker:
    """Counts the engine's epochs up while any module runs."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._inside = 0
        self._lock = threading.Lock()
        self._pid = 0  # of the process in which the thread runs

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._tick, name="tidemill-epochs", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1

    def _tick(self) -> None:
        while self._wanted():
            time.sleep(_TICK)
            self._engine.increment_epoch()

    def _wanted(self) -> bool:
        """False once no module runs: the thread ends, and the next module begins another."""
        with self._lock:
            if not self._inside:
                self._pid = 0
            return self._inside > 0
