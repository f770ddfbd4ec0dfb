"""The types that users see, held by both type checkers: what must pass, and what must fail, line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TYPING = Path(__file__).parents[2] / "typing"
ROOT = TYPING.parent.parent


def _mypy() -> set[tuple[str, int]]:
    command = ["-m", "mypy", "--strict", "--output=json", "--cache-dir=.mypy_cache/typing", *_files()]
    found = [json.loads(line) for line in _run(command).splitlines()]
    return {(Path(one["file"]).name, one["line"]) for one in found if one["severity"] == "error"}


def _pyright() -> set[tuple[str, int]]:
    found = json.loads(_run(["-m", "pyright", "--outputjson", *_files()]))["generalDiagnostics"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in found if one["severity"] == "error"}


def _files() -> list[str]:
    return [str(TYPING / "passes.py"), str(TYPING / "fails.py")]


def _run(command: list[str]) -> str:
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr  # 1: the checker ran, and found errors
    return ran.stdout


@pytest.mark.parametrize("errors", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_exactly_the_marked_lines_fail(errors: object) -> None:
    assert callable(errors)
    lines = enumerate((TYPING / "fails.py").read_text().splitlines(), 1)
    assert errors() == {("fails.py", number) for number, line in lines if line.endswith("# error")}
