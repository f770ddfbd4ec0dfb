"""The same few programs for every runtime, and what runs them. By name:

echo    puts out its input            fail    says "out of paper" and fails      large   puts out a text of 1 MiB
text    puts out what is no JSON      refuse  puts out a status of 404           hang    never ends
log     says "a line" on its log      later   puts out 429 and a Retry-After
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.docker_engine import DockerEngine
from support.lambda_service import LambdaService

from tidemill.core.definition import Docker, Http, Lambda, Program, StepSpec, Wasm
from tidemill.core.graph import Node
from tidemill.runtimes.http import HttpRuntime
from tidemill.runtimes.wasm import WasmRuntime
from tidemill.task import Runtime, Task
from tidemill_local.runtimes import Containers
from tidemill_local.runtimes.lambda_ import LambdaRuntime

NOW = 1_790_000_000_000
LARGE = 1 << 20


def clock() -> int:
    return NOW


@dataclass(frozen=True)
class Kind:
    """A runtime with its programs. `task` makes one; `value`: what a program put out, of the runtime's output."""

    runtime: Runtime
    task: Callable[..., Task]
    value: Callable[[Any], Any] = lambda output: output
    logs: bool = True
    texts: bool = True


def task_of(
    runtime: Program, path: str | None, folder: Path, input: dict[str, Any] | None = None, timeout: int | None = None
) -> Task:
    step = StepSpec(Node("press"), runtime, path=path, timeout=timeout)
    return Task("shop.print", "run_1", 1, step, str(folder), {"a": 1} if input is None else input)


PROGRAM = """
import json, sys, time

given = json.loads(sys.argv[-1])
if "input_url" in given:
    import urllib.request

    with urllib.request.urlopen(given["input_url"]) as answer:
        given = json.load(answer)
match sys.argv[1]:
    case "echo":
        print(json.dumps(given))
    case "text":
        print("plain text", end="")
    case "fail":
        sys.exit("out of paper")
    case "refuse":
        print('{"status": 404}')
    case "later":
        print('{"statusCode": 429, "headers": {"Retry-After": "7"}}')
    case "large":
        print(json.dumps("x" * (1 << 20)))
    case "hang":
        time.sleep(600)
    case "log":
        print("a line", file=sys.stderr)
        print("{}")
"""

HANDLER = """
import json, time

def echo(event, context):
    return event

def fail(event, context):
    raise RuntimeError("out of paper")

def refuse(event, context):
    return {"statusCode": 404}

def later(event, context):
    return {"statusCode": 429, "headers": {"Retry-After": "7"}}

def large(event, context):
    return "x" * (1 << 20)

def hang(event, context):
    time.sleep(600)

def log(event, context):
    print("a line")
"""


def folders(folder: Path, programs: str = "echo text fail refuse later large hang log") -> None:
    for name in programs.split():
        (folder / name).mkdir()
        (folder / name / "main.py").write_text(PROGRAM)
        (folder / name / "Dockerfile").write_text(
            f'FROM python:3.11\nCOPY . .\nENTRYPOINT ["python3", "main.py", "{name}"]\n'
        )


@contextmanager
def process(folder: Path) -> Iterator[Kind]:
    folders(folder)
    runtime = Containers(clock, {"DOCKER_HOST": f"unix://{folder}/none.sock"}, note=lambda _: None)
    yield Kind(runtime, lambda name, **more: task_of(Docker(), name, folder, **more))


@contextmanager
def docker(folder: Path) -> Iterator[Kind]:
    folders(folder)
    (folder / "engine").mkdir()
    with DockerEngine(folder / "engine") as engine:
        yield Kind(
            Containers(clock, {"DOCKER_HOST": engine.host}),
            lambda name, **more: task_of(Docker(), name, folder, **more),
        )
        assert not engine.containers


@contextmanager
def lambda_(folder: Path) -> Iterator[Kind]:
    (folder / "press").mkdir()
    (folder / "press" / "handler.py").write_text(HANDLER)
    runtime = LambdaRuntime(clock)
    yield Kind(
        runtime,
        lambda name, **more: task_of(Lambda(handler=f"handler.{name}"), "press", folder, **more),
        texts=False,
    )
    runtime.warm.close()


class _Service(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answers: dict[str, tuple[int, bytes]] = {
            "/echo": (200, body), "/text": (201, b"plain text"), "/fail": (500, b"out of paper"), "/refuse": (404, b""),
            "/later": (429, b""), "/large": (200, json.dumps("x" * LARGE).encode()),
        }  # fmt: skip
        if self.path == "/hang":
            time.sleep(600)
            return
        status, answer = answers[self.path]
        self.send_response(status)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def http(folder: Path) -> Iterator[Kind]:
    with serving(_Service) as url:
        yield Kind(
            HttpRuntime("key", refuse_private=False, clock=clock),
            lambda name, **more: task_of(Http(f"{url}/{name}"), None, folder, **more),
            value=lambda output: output["body"], logs=False,
        )  # fmt: skip


WAT = """(module
 (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
 (memory (export "memory") 40)
 (data (i32.const 1024) "%s")
 (func $all (param $to i32) (param $at i32) (param $size i32)
  (block $done (loop $more
   (br_if $done (i32.eqz (local.get $size)))
   (i32.store (i32.const 0) (local.get $at))
   (i32.store (i32.const 4) (local.get $size))
   (br_if $done (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)))
   (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
   (local.set $size (i32.sub (local.get $size) (i32.load (i32.const 8))))
   (br $more))))
 (func $argument
  (local $at i32) (local $size i32)
  (drop (call $sizes (i32.const 0) (i32.const 4)))
  (drop (call $args (i32.const 16) (i32.const 65536)))
  (local.set $at (i32.load (i32.const 20)))
  (block $end (loop $next
   (br_if $end (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $size)))))
   (local.set $size (i32.add (local.get $size) (i32.const 1)))
   (br $next)))
  (call $all (i32.const 1) (local.get $at) (local.get $size)))
 (func $stdin (result i32)
  (local $sum i32)
  (block $end (loop $next
   (i32.store (i32.const 0) (i32.const 131072))
   (i32.store (i32.const 4) (i32.const 65536))
   (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 12)))
   (br_if $end (i32.eqz (i32.load (i32.const 12))))
   (local.set $sum (i32.add (local.get $sum) (i32.load (i32.const 12))))
   (call $all (i32.const 1) (i32.const 131072) (i32.load (i32.const 12)))
   (br $next)))
  (local.get $sum))
 (func (export "_start") %s))
"""


def says(text: str, to: int = 1, then: str = "") -> str:
    escaped = text.replace('"', "\\22")
    return WAT % (escaped, f"(call $all (i32.const {to}) (i32.const 1024) (i32.const {len(text)})) {then}")


MODULES = {
    "echo": WAT % ("", "(if (i32.eqz (call $stdin)) (then (call $argument)))"),
    "text": says("plain text"),
    "fail": says("out of paper", 2, "(call $exit (i32.const 1))"),
    "refuse": says('{"status": 404}'),
    "later": says('{"statusCode": 429, "headers": {"Retry-After": "7"}}'),
    "large": WAT % ("", f"""
      (memory.fill (i32.const 1024) (i32.const 120) (i32.const {LARGE + 1}))
      (i32.store8 (i32.const 1024) (i32.const 34))
      (i32.store8 (i32.const {1024 + LARGE + 1}) (i32.const 34))
      (call $all (i32.const 1) (i32.const 1024) (i32.const {LARGE + 2}))"""),
    "hang": WAT % ("", "(loop $on (br $on))"),
    "log": says("a line", 2, "(call $all (i32.const 1) (i32.const 1100) (i32.const 0))"),
}  # fmt: skip


@contextmanager
def wasm(folder: Path) -> Iterator[Kind]:
    for name, source in MODULES.items():
        (folder / f"{name}.wat").write_text(source)
    runtime = Wasm(fuel=1 << 62)
    yield Kind(WasmRuntime(clock), lambda name, **more: task_of(runtime, f"{name}.wat", folder, **more))


@contextmanager
def lambda_in_aws(folder: Path) -> Iterator[Kind]:
    (folder / "press").mkdir()
    (folder / "press" / "handler.py").write_text(HANDLER)
    with LambdaService(folder / "press") as service:

        def task(name: str, **more: Any) -> Task:
            made = task_of(Lambda(handler=f"handler.{name}"), "press", folder, **more)
            service.deploy(made)
            return made

        yield Kind(service.runtime(clock), task, logs=False, texts=False)  # its log is in CloudWatch


KINDS: dict[str, Callable[[Path], AbstractContextManager[Kind]]] = {
    "docker": docker, "process": process, "lambda": lambda_, "lambda in AWS": lambda_in_aws, "http": http,
    "wasm": wasm,
}  # fmt: skip
