"""The CI snippet of docs/guides/testing.md, run on what `tidemill init` makes."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "guides" / "testing.md"


def commands() -> list[str]:
    (block,) = [block for block in blocks(PAGE) if block.kind == "sh"]
    return block.text.splitlines()


def test_the_workflow_runs_the_same_commands() -> None:
    workflow = next(block.text for block in blocks(PAGE) if block.text.startswith("name: test"))
    runs = [line.partition("run: ")[2] for line in workflow.splitlines() if "- run: " in line]
    assert runs == commands()


def test_the_commands_test_a_first_app(tmp_path: Path) -> None:
    init = [sys.executable, "-m", "tidemill_local.cli", "init", str(tmp_path)]
    subprocess.run(init, capture_output=True, check=True)
    install, run = (shlex.split(command) for command in commands())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["name"]
    assert install == ["pip", "install", project, "pytest"]
    assert run[0] == "pytest"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *run, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
