"""Tests of one group run on one worker, and a worker that is killed keeps nobody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"
TESTS = """
import os
import time
import pytest

def workers():
    with open(os.environ["SEEN"]) as file:
        return {line.split()[1] for line in file if "test_unit_" in line}

@pytest.mark.parametrize("number", range(12))
def test_it(number):
    with open(os.environ["SEEN"], "a") as file:
        print(__name__, os.environ["PYTEST_XDIST_WORKER"], file=file)
    until = time.monotonic() + 120
    while "test_unit_" in __name__ and len(workers()) < 2 and time.monotonic() < until:
        time.sleep(0.01)  # a worker that is slow to start gets its share all the same
"""

DIES = """
import os
import pytest

@pytest.mark.parametrize("number", range(6))
def test_before(number):
    pass

def test_dies():
    with open(os.environ["SEEN"], "a") as file:
        print("began", file=file)
    os._exit(1)  # as faulthandler_exit_on_timeout ends a test that hangs

@pytest.mark.parametrize("number", range(AFTER))
def test_after(number):
    pass
"""


def pytest_in(folder: Path, seen: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider"]
    return subprocess.run(
        command, cwd=folder, env={**environment, "SEEN": str(seen)}, capture_output=True, text=True, timeout=240
    )


@pytest.mark.parametrize(("folder", "after"), [("unit", 0), ("counts", 6)])
def test_a_worker_that_dies_fails_one_test_and_the_others_run(tmp_path: Path, folder: str, after: int) -> None:
    (tmp_path / "tests" / folder).mkdir(parents=True)
    (tmp_path / "tests" / folder / "test_it.py").write_text(DIES.replace("AFTER", str(after)))
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    made = pytest_in(tmp_path, tmp_path / "seen")
    assert f"1 failed, {6 + after} passed" in made.stdout, made.stdout + made.stderr
    assert "test_dies" in made.stdout
    assert (tmp_path / "seen").read_text() == "began\n"


def test_a_group_stays_together_and_others_are_spread(tmp_path: Path) -> None:
    for folder in ("cdk", "counts", "e2e_aws", "unit"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        for name in ("one", "two"):
            (tmp_path / "tests" / folder / f"test_{folder}_{name}.py").write_text(TESTS)
    (tmp_path / "tests" / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    seen = tmp_path / "seen"
    made = pytest_in(tmp_path, seen)
    assert made.returncode == 0, made.stdout + made.stderr
    lines = [line.split() for line in seen.read_text().splitlines()]
    assert len(lines) == 2 * 4 * 12
    for folder in ("cdk", "counts", "e2e_aws"):
        assert len({worker for module, worker in lines if f"test_{folder}_" in module}) == 1, folder
    assert len({worker for module, worker in lines if "test_unit_" in module}) == 2
