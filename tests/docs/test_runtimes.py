"""docs/guides/runtimes.md: each way to verify a signature agrees with what `http` steps are signed with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from docs.pages import ROOT, blocks

from tidemill.runtimes.http import signature

PAGE = ROOT / "docs" / "guides" / "runtimes.md"
BODY = '{"event": "é, and a , = ."}'
ENDS: dict[str, tuple[str, tuple[str, ...], Callable[[str], str]]] = {  # file, what runs it, the snippet as a program
    "python": (
        "check.py", (sys.executable,),
        lambda text: f"{text}\nimport sys\nprint(signed(sys.argv[1], sys.argv[2], sys.argv[3].encode()))",
    ),
    "js": ("check.js", ("node",), lambda text: f"{text}\nconsole.log(signed(...process.argv.slice(2)))"),
    "ruby": ("check.rb", ("ruby",), lambda text: f"{text}\nputs signed?(*ARGV)"),
    "go": (
        "check.go", ("go", "run"),
        lambda text: text.replace('import (', 'import ("os"; ', 1)
        + "\nfunc main() { fmt.Println(signed(os.Args[1], os.Args[2], []byte(os.Args[3]))) }",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDS)
def test_a_signature_is_verified(kind: str, tmp_path: Path) -> None:
    name, command, program = ENDS[kind]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    text = next(block.text for block in blocks(PAGE) if block.kind == kind)
    (tmp_path / name).write_text(program(text), encoding="utf-8")
    now = int(time.time())
    right, old = signature("key", now, BODY.encode()), signature("key", now - 400, BODY.encode())
    cases = [("key", right, BODY), ("other", right, BODY), ("key", right, f"{BODY} "), ("key", old, BODY)]
    cases.append(("key", f"t={now},v1=00", BODY))
    answers = [
        subprocess.run(
            [*command, name, *case], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120,
            env={**os.environ, "GOCACHE": str(tmp_path / "go")},
        ).stdout.strip().lower()
        for case in cases
    ]  # fmt: skip
    assert answers == ["true", "false", "false", "false", "false"]


def test_the_tables_name_the_limits_as_they_are() -> None:
    from tidemill.limits import MIB, MINUTE, SECOND
    from tidemill.runtimes import http, output, wasm
    from tidemill_local.runtimes import lambda_, runtime_api, warm

    text = PAGE.read_text("utf-8")
    assert (http.TIMEOUT, wasm.TIMEOUT, lambda_.TIMEOUT) == (30 * SECOND, 60 * SECOND, 15 * MINUTE)
    assert "| none | 15 min | 30 s | 60 s |" in text
    assert (output.OUTPUT_BYTES, output.PAYLOAD_BYTES) == (64 * MIB, 6 * MIB)
    assert "| 64 MiB | 6 MiB | 6 MiB | 64 MiB |" in text
    assert f"{output.ARGUMENT_BYTES:,} bytes" in text
    assert f"`{http.DEV_KEY}`" in text
    assert f"at most {warm.MOST} of them" in text
    assert f"{runtime_api.INIT:.0f} s to start" in text
    for kind in ("docker", "lambda", "http", "wasm"):
        assert f"\n## {kind}\n" in text
