"""WebAssembly steps: what bounds a module, and what it cannot reach."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from contract.programs import MODULES, WAT, clock, task_of

from tidemill.core.definition import Wasm
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill.runtimes import extras, wasm
from tidemill.runtimes.wasm import WasmRuntime

RUNTIME = WasmRuntime(clock)
SLEEP = """(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 0) (i64.const 7))  ;; our own mark, a clock of kind 1, the nanoseconds
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const %d))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))
    (call $exit (i32.add (i32.mul (i32.load (i32.const 200)) (i32.const 10)) (i32.load (i32.const 100))))))"""


def run(folder: Path, source: str | bytes, runtime: Wasm | None = None, **more: Any) -> Any:
    path = folder / "step.wasm"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    return RUNTIME(task_of(runtime or Wasm(), "step.wasm", folder, **more))


def failure(folder: Path, source: str | bytes, runtime: Wasm | None = None, **more: Any) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        run(folder, source, runtime, **more)
    return caught.value.failure


def start(body: str, more: str = "") -> str:
    return f'(module (memory (export "memory") 1) {more} (func (export "_start") {body}))'


def test_a_built_module_and_its_text_are_the_same(tmp_path: Path) -> None:
    built = bytes(wasmtime.wat2wasm(MODULES["echo"]))
    assert run(tmp_path, built) == run(tmp_path, MODULES["echo"]) == {"a": 1}


def test_without_wasmtime_the_step_says_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = failure(tmp_path, MODULES["echo"])
    assert "a wasm step needs wasmtime, which is not installed: pip install 'tidemill[wasm]'" in found.message
    assert not found.retriable


def test_no_thread_is_left_when_no_module_runs(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for _ in range(2):
        assert run(tmp_path, MODULES["echo"]) == {"a": 1}
        left = [each for each in threading.enumerate() if each.name == "tidemill-epochs" and each not in before]
        for each in left:
            each.join(60)
        assert not any(each.is_alive() for each in left)


def test_a_module_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, MODULES["text"])
    monkeypatch.setattr(wasmtime, "Module", None)
    assert run(tmp_path, MODULES["text"]) == {"body": "plain text"}


def test_fuel_is_bounded_and_not_given_again(tmp_path: Path) -> None:
    found = failure(tmp_path, start("(loop $on (br $on))"), Wasm(fuel=1_000_000))
    assert found.type == "OutOfFuel"
    assert not found.retriable
    assert "1,000,000" in found.message


def test_memory_is_bounded(tmp_path: Path) -> None:
    assert "1 MB" in failure(tmp_path, '(module (memory 17) (func (export "_start")))', Wasm(memory=1)).message
    grown = start("(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))")
    assert failure(tmp_path, grown, Wasm(memory=1)).type == "Trap"
    assert run(tmp_path, grown, Wasm(memory=2)) == {"body": ""}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("(unreachable)", "unreachable"),
        ("(drop (i32.load (i32.const 70000)))", "memory out of bounds"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "integer division by zero"),
        ("(call 0)", "stack overflow"),
    ],
)
def test_a_trap_is_named(tmp_path: Path, body: str, name: str) -> None:
    found = failure(tmp_path, start(body))
    assert found.type == "Trap"
    assert name in found.message


def test_sleep_is_sleep(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "exit code 17" in failure(tmp_path, SLEEP % 30_000_000).message  # one event, with our mark
    assert time.monotonic() - began >= 0.03


def test_sleep_ends_with_the_time_of_the_step(tmp_path: Path) -> None:
    began = time.monotonic()
    found = failure(tmp_path, SLEEP % 600_000_000_000, timeout=100)
    assert found.type == "StepTimeoutError"
    assert time.monotonic() - began < 120


def test_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.runtimes.output import Bounded

    monkeypatch.setattr(wasm, "Bounded", lambda: Bounded(100_000))
    found = failure(tmp_path, MODULES["large"])
    assert found.type == "OutputTooLarge"
    assert not found.retriable


def test_there_is_no_file_system_and_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    import_ = '(import "wasi_snapshot_preview1" "%s" (func %s (param%s) (result i32)))'
    environment = f"""(module {import_ % ("environ_sizes_get", "$sizes", " i32 i32")} (memory (export "memory") 1)
      (func (export "_start") (drop (call $sizes (i32.const 0) (i32.const 4)))
        (if (i32.load (i32.const 0)) (then unreachable))))"""
    assert run(tmp_path, environment) == {"body": ""}
    folders = f"""(module {import_ % ("fd_prestat_get", "$prestat", " i32 i32")} (memory (export "memory") 1)
      (func (export "_start") (if (i32.ne (call $prestat (i32.const 3) (i32.const 0)) (i32.const 8))
        (then unreachable))))"""
    assert run(tmp_path, folders) == {"body": ""}  # 8: there is no such descriptor


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nonsense", "no WebAssembly module"),
        (b"\0asm\x01\0\0\0\xff", "no WebAssembly module"),
        ('(module (func (export "main")))', "_start"),
        ('(module (import "env" "now" (func)) (func (export "_start")))', "env::now"),
    ],
)
def test_what_is_no_program_is_refused(tmp_path: Path, source: str | bytes, why: str) -> None:
    found = failure(tmp_path, source)
    assert why in found.message
    assert not found.retriable


def test_a_module_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=r"no WebAssembly module at none\.wasm"):
        RUNTIME(task_of(Wasm(), "none.wasm", tmp_path))


def test_the_argument_of_a_large_input_names_standard_input(tmp_path: Path) -> None:
    source = WAT % ("", "(call $argument)")
    assert run(tmp_path, source, input={"text": "x" * 7_168}) == {"input_url": "file:///dev/stdin"}
    assert run(tmp_path, source, input={"text": "x" * 7_000}) == {"text": "x" * 7_000}
