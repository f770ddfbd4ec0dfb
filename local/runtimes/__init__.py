"""The runtimes of this machine, with which `tidemill dev` runs the steps of definitions."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tidemill.task import Runtime
from tidemill_local.system import SystemClock

if TYPE_CHECKING:
    from tidemill.runtimes.output import Clock
    from tidemill.task import Task

_ASKED = 10.0  # seconds for which the last check of the engine counts


def runtimes(environment: Mapping[str, str] = os.environ) -> Mapping[str, Runtime]:
    """The runtimes by kind. A kind's dependencies are loaded when its first step runs."""
    clock = SystemClock().now
    return {
        "docker": Containers(clock, environment),
        "lambda": _Lazy(lambda: _lambda(clock)),
        "http": _Lazy(lambda: _http(clock, environment)),
        "wasm": _Lazy(lambda: _wasm(clock)),
    }


class Containers:
    """`docker` steps: on the Docker engine if one answers, else as processes."""

    def __init__(
        self,
        clock: Clock,
        environment: Mapping[str, str] = os.environ,
        note: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._environment = environment
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until = float("-inf")
        self._chosen: Runtime | None = None
        self._process = _Lazy(lambda: _process(clock, note))
        self._docker: tuple[str, Runtime] | None = None

    def __call__(self, task: Task) -> Any:
        with self._lock:
            if self._chosen is None or self._monotonic() >= self._until:
                self._chosen = self._choice()
                self._until = self._monotonic() + _ASKED
            chosen = self._chosen
        return chosen(task)

    def _choice(self) -> Runtime:
        from tidemill_local.runtimes import engine

        where = engine.address(self._environment)
        if where is None:
            return self._process
        found = engine.Engine(where)
        if not found.answers():
            return self._process
        if self._docker is None or self._docker[0] != where:
            from tidemill_local.runtimes.docker import DockerRuntime

            self._docker = (where, DockerRuntime(found, self._clock))
        return self._docker[1]


class _Lazy:
    """A runtime that is created on its first call."""

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Runtime | None = None

    def __call__(self, task: Task) -> Any:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made(task)


def _process(clock: Clock, note: Callable[[str], None]) -> Runtime:
    from tidemill_local.runtimes.process import ProcessRuntime

    return ProcessRuntime(clock, note)


def _lambda(clock: Clock) -> Runtime:
    from tidemill_local.runtimes.lambda_ import LambdaRuntime

    return LambdaRuntime(clock)


def _http(clock: Clock, environment: Mapping[str, str]) -> Runtime:
    from tidemill.runtimes.http import DEV_KEY, KEY_VARIABLE, HttpRuntime

    return HttpRuntime(environment.get(KEY_VARIABLE) or DEV_KEY, refuse_private=False, clock=clock)


def _wasm(clock: Clock) -> Runtime:
    from tidemill.runtimes.wasm import WasmRuntime

    return WasmRuntime(clock)
