"""A Docker engine as Docker documents its HTTP API (1.44), over a unix socket, as far as the adapter goes.

It answers as the documentation says, and refuses what that does not allow; in place of containers it runs processes, by
the ENTRYPOINT of the image's Dockerfile. An image by name stands in `registry`. What it was told is in `containers`.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socketserver
import subprocess
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tidemill_local.runtimes import dockerfile

_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since Python 3.11.4


@dataclass
class Container:
    spec: dict[str, Any]
    image: Path
    process: subprocess.Popen[bytes] | None = None
    oom: bool = False


@dataclass
class DockerEngine:
    folder: Path
    gateway: str = "127.0.0.1"
    kernel: str = "6.0-of-its-own"
    version: str = "1.44"
    images: dict[str, Path] = field(default_factory=dict)
    registry: dict[str, Path] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)  # those that have not been removed
    created: list[dict[str, Any]] = field(default_factory=list)  # what all were made of
    builds: list[list[str]] = field(default_factory=list)  # the files of each
    calls: list[str] = field(default_factory=list)
    out_of_memory: bool = False

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def __enter__(self) -> DockerEngine:
        self._server = _UnixServer(f"{self.folder}/docker.sock", _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for container in self.containers.values():
            _kill(container)

    def build(self, name: str, data: bytes) -> list[dict[str, Any]]:
        place = self.folder / f"image-{len(self.builds)}"
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.builds.append(sorted(tar.getnames()))
            tar.extractall(place, **_FILTER)
        text = (place / "Dockerfile").read_text()
        if "RUN false" in text:
            message = "The command '/bin/sh -c false' returned a non-zero code: 1"
            step = {"stream": "Step 2/3 : RUN false\n"}
            return [step, {"errorDetail": {"code": 1, "message": message}, "error": message}]
        self.images[name] = place
        return [
            {"stream": "Step 1/2 : FROM scratch\n"},
            {"aux": {"ID": "sha256:0"}},
            {"stream": "Successfully built\n"},
        ]


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in mid-answer is no mistake of the engine's."""


def tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _kill(container: Container) -> None:
    if container.process is not None:
        with container.process as process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _handler(engine: DockerEngine) -> type[BaseHTTPRequestHandler]:
    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            engine.calls.append(f"{self.command} {url.path}")
            if url.path == "/_ping":
                self.say(200, b"OK", {"Api-Version": engine.version, "Content-Type": "text/plain"})
                return
            versioned = re.fullmatch(r"/v(\d+\.\d+)(/.+)", unquote(url.path))
            if versioned is None or float(versioned[1]) > float(engine.version):
                self.error(400, f"client version of {url.path} is too new. Maximum supported is {engine.version}")
                return
            path = versioned[2]
            for method, pattern, answer in routes:
                found = re.fullmatch(pattern, path)
                if found is not None and method == self.command:
                    answer(self, *found.groups())
                    return
            self.error(404, "page not found")

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

        def bridge(self) -> None:
            own = {"Name": "shop_default", "Driver": "bridge", "IPAM": {"Config": [{"Gateway": "192.0.2.9"}]}}
            host = {"Name": "host", "Driver": "host", "IPAM": {"Config": None}}
            ipam = {"Driver": "default", "Config": [{"Subnet": "fe80::/64"}, {"Gateway": engine.gateway}]}
            default = {"com.docker.network.bridge.default_bridge": "true"}
            bridge = {"Name": "renamed", "Driver": "bridge", "IPAM": ipam, "Options": default}
            self.json(200, [own, host, bridge])

        def info(self) -> None:
            self.json(200, {"Name": "engine", "KernelVersion": engine.kernel})

        def image(self, name: str) -> None:
            if tagged(name) in engine.images:
                self.json(200, {"Id": "sha256:0", "RepoTags": [name]})
            else:
                self.error(404, f"No such image: {name}")

        def build(self) -> None:
            assert self.headers["Content-Type"] == "application/x-tar"
            self.stream([json.dumps(each).encode() + b"\r\n" for each in engine.build(self.query["t"], self.body)])

        def pull(self) -> None:
            name = f"{self.query['fromImage']}:{self.query['tag']}"
            if name not in engine.registry:
                self.error(404, f"pull access denied for {name}, repository does not exist")
                return
            engine.images[name] = engine.registry[name]
            self.stream(
                [b'{"status":"Pulling from library/x","id":"latest"}\r\n', b'{"status":"Status: Downloaded"}\r\n']
            )

        def list(self) -> None:
            (label,) = json.loads(self.query["filters"])["label"]
            every = self.query.get("all") in ("1", "true")
            found = [
                {"Id": id, "Labels": each.spec["Labels"]}
                for id, each in engine.containers.items()
                if label in each.spec["Labels"] and (every or each.process is not None)
            ]
            self.json(200, found)

        def create(self) -> None:
            spec = json.loads(self.body)
            assert self.headers["Content-Type"] == "application/json"
            if tagged(spec["Image"]) not in engine.images:
                self.error(404, f"No such image: {spec['Image']}")
                return
            id = f"{len(engine.created):064x}"
            engine.created.append(spec)
            engine.containers[id] = Container(spec, engine.images[tagged(spec["Image"])], oom=engine.out_of_memory)
            self.json(201, {"Id": id, "Warnings": []})

        def start(self, id: str) -> None:
            container = engine.containers[id]
            start = dockerfile.start(container.image / "Dockerfile")
            try:
                container.process = subprocess.Popen(
                    [*start.command, *container.spec["Cmd"]], cwd=container.image, process_group=0,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **start.environment},
                )  # fmt: skip
            except OSError as error:
                self.error(400, f"failed to create task for container: exec: {start.command[0]}: {error.strerror}")
                return
            self.say(204, b"", {})

        def logs(self, id: str) -> None:
            assert self.query == {"follow": "1", "stdout": "1", "stderr": "1"}
            process = engine.containers[id].process
            assert process is not None
            assert process.stdout is not None
            assert process.stderr is not None
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.docker.multiplexed-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            lock = threading.Lock()

            def copy(number: int, stream: Any) -> None:
                while data := stream.read1(16_384):
                    frame = bytes([number, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
                    with lock:
                        for part in (frame[:5], frame[5:]):  # a frame need not come in one piece
                            self.chunk(part)

            other = threading.Thread(target=copy, args=(2, process.stderr), daemon=True)
            other.start()
            try:
                copy(1, process.stdout)
                other.join()
                self.chunk(b"")
            except OSError:
                self.close_connection = True  # nobody listens any more

        def wait(self, id: str) -> None:
            process = engine.containers[id].process
            assert process is not None
            code = process.wait()
            self.json(200, {"StatusCode": code if code >= 0 else 128 - code})

        def inspect(self, id: str) -> None:
            self.json(200, {"Id": id, "State": {"Status": "exited", "OOMKilled": engine.containers[id].oom}})

        def remove(self, id: str) -> None:
            container = engine.containers.get(id)
            if container is None:
                self.error(404, f"No such container: {id}")
                return
            running = container.process is not None and container.process.poll() is None
            if running and self.query.get("force") not in ("1", "true"):
                self.error(409, "You cannot remove a running container")
                return
            _kill(container)
            del engine.containers[id]
            self.say(204, b"", {})

        def json(self, status: int, value: object) -> None:
            self.say(status, json.dumps(value).encode() + b"\n", {"Content-Type": "application/json"})

        def error(self, status: int, message: str) -> None:
            self.json(status, {"message": message})

        def say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def stream(self, parts: Any) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in [*parts, b""]:
                self.chunk(part)

        def chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            pass

    routes: list[tuple[str, str, Any]] = [
        ("GET", "/networks", Api.bridge),
        ("GET", "/info", Api.info),
        ("GET", "/images/(.+)/json", Api.image),
        ("POST", "/build", Api.build),
        ("POST", "/images/create", Api.pull),
        ("GET", "/containers/json", Api.list),
        ("POST", "/containers/create", Api.create),
        ("POST", "/containers/([0-9a-f]+)/start", Api.start),
        ("GET", "/containers/([0-9a-f]+)/logs", Api.logs),
        ("POST", "/containers/([0-9a-f]+)/wait", Api.wait),
        ("GET", "/containers/([0-9a-f]+)/json", Api.inspect),
        ("DELETE", "/containers/([0-9a-f]+)", Api.remove),
    ]
    return Api
