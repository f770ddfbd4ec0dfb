"""The runtime `docker` on a Docker engine of this machine: builds a step's folder, runs each attempt in a container.

The image is built once for what is in the folder (its tag is the digest of that). A container gets the input in place
of CMD, its step's memory and share of cores, the engine's default bridge, and no port of the machine. It is always
removed. Its standard output is the output, standard error the log.

An input that is too large for an argument is served on the bridge's gateway, which containers reach and the network
does not. Podman makes its bridge with the first container, so that address may come after the server that listens
there. Where the engine has a virtual machine of its own, inputs are served on the loopback address, which containers
reach as `host.docker.internal`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.core.definition import Docker
from tidemill.limits import DAY, MIB, MINUTE, SECOND
from tidemill.runtimes.output import (
    ARGUMENT_BYTES,
    OUTPUT_BYTES,
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
from tidemill_local.runtimes import dockerignore
from tidemill_local.runtimes.engine import Engine, EngineError
from tidemill_local.runtimes.inputs import LOOPBACK, InputServer

if TYPE_CHECKING:
    from tidemill.task import Task

WORKER, RUN = "tidemill.worker", "tidemill.run"  # labels
_INSIDE = "host.docker.internal"
_BUILD = 30 * MINUTE // SECOND  # a build or a pull, which does not count toward the step's timeout
_FOREVER = 365 * DAY // SECOND
_STDOUT = 1


class _Gateway(msgspec.Struct):
    gateway: str = msgspec.field(name="Gateway", default="")


class _Ipam(msgspec.Struct):
    config: list[_Gateway] | None = msgspec.field(name="Config", default=None)


class _Network(msgspec.Struct):
    name: str = msgspec.field(name="Name")
    driver: str = msgspec.field(name="Driver", default="")
    ipam: _Ipam = msgspec.field(name="IPAM", default_factory=_Ipam)
    options: dict[str, str] | None = msgspec.field(name="Options", default=None)

    @property
    def gateways(self) -> list[str]:
        return [config.gateway for config in self.ipam.config or () if config.gateway]

    @property
    def rank(self) -> int:
        """How likely it is the default bridge: Docker marks it; other engines use customary names."""
        if (self.options or {}).get("com.docker.network.bridge.default_bridge") == "true":
            return 0
        return {"bridge": 1, "podman": 2}.get(self.name, 3)


class _Info(msgspec.Struct):
    kernel: str = msgspec.field(name="KernelVersion", default="")


class DockerRuntime:
    """`clock` is the time in milliseconds."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}
        self._inputs: InputServer | None = None
        self._swept = False

    def __call__(self, task: Task) -> Any:
        runtime = task.step.runtime
        assert isinstance(runtime, Docker)
        try:
            self._sweep()
            image = self._image(task, runtime)
            with contextlib.ExitStack() as stack:
                argument = encoded(task).decode()
                if len(argument.encode()) > ARGUMENT_BYTES:
                    argument = stack.enter_context(self._served().serving(argument.encode()))
                out = self._contained(task, runtime, image, argument)
        except EngineError as error:
            raise failed("DockerError", f"step {task.step.id!r}: the Docker engine says: {error}") from error
        return checked(task, printed(out), self._clock())

    def _image(self, task: Task, runtime: Docker) -> str:
        """The image's name, once it exists. Only one thread builds the same content."""
        deadline = time.monotonic() + _BUILD
        if task.step.path is None:
            name = runtime.image or ""
            with self._alone(name):
                if not self._has(name):
                    self._engine.pull(name, deadline)
            return name
        tar = _packed(task, Path(task.folder, task.step.path))
        name = f"tidemill-step:{hashlib.sha256(tar).hexdigest()[:32]}"
        with self._alone(name):
            if not self._has(name):
                try:
                    self._engine.build(tar, name, deadline)
                except EngineError as error:
                    said = f"step {task.step.id!r}: its image cannot be built from {task.step.path}: {error}"
                    raise failed("BuildError", said) from error
        return name

    def _alone(self, name: str) -> threading.Lock:
        with self._lock:
            return self._building.setdefault(name, threading.Lock())

    def _has(self, image: str) -> bool:
        try:
            self._engine.call("GET", f"/images/{image}/json")
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _contained(self, task: Task, runtime: Docker, image: str, argument: str) -> bytes:
        made = self._engine.call("POST", "/containers/create", body=_container(task, runtime, image, argument))
        container = str(made["Id"])
        log, out = StepLog(task), Bounded()
        timeout = task.step.timeout
        deadline = time.monotonic() + (_FOREVER if timeout is None else timeout / SECOND)
        try:
            self._start(task, container)
            for stream, data in self._engine.logs(container, deadline):
                if stream != _STDOUT:
                    log.take(data)
                elif not out.take(data):
                    advice = "let it store the data, and print its address"
                    raise too_much(task, "its standard output", OUTPUT_BYTES, advice)
            left = max(0.0, deadline - time.monotonic())
            ended = self._engine.call("POST", f"/containers/{container}/wait", seconds=left)
            log.end()
            self._ended_well(task, runtime, container, ended, Streams(out, log))
        except TimeoutError as error:
            assert timeout is not None
            raise timed_out(task, timeout, "its container") from error
        finally:
            log.end()
            self._remove(container)
        return out.bytes()

    def _start(self, task: Task, container: str) -> None:
        try:
            self._engine.call("POST", f"/containers/{container}/start")
        except EngineError as error:
            if error.status in (400, 404):  # the image has no ENTRYPOINT
                said = f"step {task.step.id!r}: its container cannot be started: {error}"
                raise failed(REFUSED, said, retriable=False) from error
            raise

    def _ended_well(self, task: Task, runtime: Docker, container: str, ended: Any, streams: Streams) -> None:
        """Raises TaskFailed unless the container ended well."""
        code = int(ended["StatusCode"])
        if not code:
            return
        if self._engine.call("GET", f"/containers/{container}/json")["State"].get("OOMKilled"):
            advice = f'is over its {runtime.memory} MB of memory: give its runtime more with "memory"'
            raise failed("OutOfMemory", f"step {task.step.id!r}: its container {advice}")
        how = f"its container ended with exit code {code}"
        raise exited(task, how, streams, self._clock())

    def _served(self) -> InputServer:
        with self._lock:
            if self._inputs is None:
                self._inputs = self._server()
            return self._inputs

    def _server(self) -> InputServer:
        networks = msgspec.convert(self._engine.call("GET", "/networks"), list[_Network])
        bridges = sorted((each for each in networks if each.driver == "bridge" and each.gateways), key=lambda n: n.rank)
        for gateway in bridges[0].gateways if bridges else ():
            server = InputServer(gateway, early=self._is_here())
            with contextlib.suppress(OSError), server.serving(b""):
                return server
        return InputServer(LOOPBACK, _INSIDE)

    def _is_here(self) -> bool:
        """Whether the engine's containers run on this machine's kernel."""
        info = msgspec.convert(self._engine.call("GET", "/info"), _Info)
        return sys.platform == "linux" and info.kernel == os.uname().release

    def _sweep(self) -> None:
        """Remove the containers of killed workers of this machine."""
        with self._lock:
            if self._swept:
                return
            self._swept = True
        query = {"all": "1", "filters": msgspec.json.encode({"label": [WORKER]}).decode()}
        for one in self._engine.call("GET", "/containers/json", query):
            machine, _, pid = str(one["Labels"].get(WORKER, "")).rpartition(":")
            if machine == socket.gethostname() and pid.isdigit() and not _alive(int(pid)):
                self._remove(str(one["Id"]))

    def _remove(self, container: str) -> None:
        """Remove the container, and kill it first if it runs."""
        with contextlib.suppress(EngineError, TimeoutError):
            self._engine.call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})


def _container(task: Task, runtime: Docker, image: str, argument: str) -> dict[str, Any]:
    memory = runtime.memory * MIB
    return {
        "Image": image,
        "Cmd": [argument],
        "Labels": {WORKER: f"{socket.gethostname()}:{os.getpid()}", RUN: task.run_id},
        "AttachStdin": False,
        "HostConfig": {
            "Memory": memory,
            "MemorySwap": memory,  # no swap beside it
            "NanoCpus": runtime.cpu * 1_000_000_000 // 1_024,
            "NetworkMode": "bridge",
            "PublishAllPorts": False,
            "ExtraHosts": [f"{_INSIDE}:host-gateway"],
            "LogConfig": {"Type": "json-file", "Config": {}},  # the engine's default log driver may not be readable
        },
    }


def _packed(task: Task, folder: Path) -> bytes:
    """The folder as a reproducible tar: the same for the same content, without times and owners."""
    if not (folder / "Dockerfile").is_file():
        said = f"step {task.step.id!r} cannot be built: there is no Dockerfile in {task.step.path}"
        raise failed(REFUSED, said, retriable=False)

    ignored = dockerignore.read(folder)

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in info.name.split("/") or ignored(info.name, info.isdir()):
            return None
        info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
        return info

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name, filter=plain)
    return buffer.getvalue()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
