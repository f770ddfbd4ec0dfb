"""The wheel that would be published, in an environment of its own: a first project is made there, runs, and is tested.

One test takes the packages that it needs from the gate's environment, and needs no registry; the slow one resolves and
fetches them as `pip install` does for anybody, and weighs what came. `make dist` builds the wheel, and runs both.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from e2e.devserver import PATIENCE, eventually

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
MADE = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "node_modules", "cdk.out")
PACKAGES = 22  # that come with `pip install tidemill`, itself among them
MEGABYTES = 70  # 15 of them check schemas


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what it is built from: setuptools leaves its traces beside the sources."""
    copy, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "layers", "lambdas", "local", "cdk"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=MADE)
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=copy, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


class Environment:
    """An empty environment, and a shell in which nothing else of Python is set up."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        (self.packages,) = (folder / "lib").glob("python*/site-packages")

    def install(self, *what: str | Path) -> None:
        command = [sys.executable, "-m", "pip", "--python", self.bin / "python", "install", "--quiet", *what]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    def command(self, *words: str) -> list[str]:
        return [str(self.bin / words[0]), *words[1:]]

    @property
    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TIDEMILL"))}
        return {**kept, "PATH": f"{self.bin}{os.pathsep}{kept['PATH']}", "PYTHONUNBUFFERED": "1"}

    def run(self, folder: Path, *words: str, **more: str) -> str:
        done = subprocess.run(
            self.command(*words),
            cwd=folder,
            env={**self.variables, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def first_project(environment: Environment, folder: Path) -> None:
    """What README.md and docs/start say, with the installed commands alone."""
    environment.run(folder, "tidemill", "init", "shop")
    shop = folder / "shop"
    log = folder / "out.txt"
    with log.open("wb") as out:
        dev = subprocess.Popen(
            environment.command("tidemill", "dev", "--port", "0"), cwd=shop, env=environment.variables,
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        url = eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text())).group()  # type: ignore[union-attr]
        sent = environment.run(shop, "tidemill", "send", "order/placed", "@order.json", "--wait", TIDEMILL_URL=url)
        assert "shop.checkout  completed in" in sent
        listed = environment.run(shop, "tidemill", "runs", "list", "--json", TIDEMILL_URL=url)
        assert "completed" in {json.loads(line)["status"] for line in listed.splitlines()}
        environment.run(shop, "tidemill", "cost", "--events-per-month", "1000")
    finally:
        dev.send_signal(signal.SIGINT)
        assert dev.wait(PATIENCE) == 0, log.read_text()
    where = environment.run(shop, "python", "-c", "import tidemill, tidemill_local; print(tidemill.__file__)")
    assert Path(where.strip()).is_relative_to(environment.packages)


def test_the_wheel_is_all_that_a_first_project_needs_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install("--no-deps", "--no-index", wheel)
    # A .pth file adds a folder and reads no .pth there, so the gate's editable install of the checkout stays out.
    (environment.packages / "gate.pth").write_text(sysconfig.get_paths()["platlib"] + "\n")
    first_project(environment, tmp_path)


@pytest.mark.slow
def test_what_pip_fetches_for_the_wheel_is_enough_and_small(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(wheel)
    installed = {path.name for path in environment.packages.glob("*.dist-info")}
    size = sum(file.stat().st_size for file in environment.packages.rglob("*") if file.is_file())
    assert len(installed) <= PACKAGES, sorted(installed)
    assert size <= MEGABYTES * 1_000_000
    first_project(environment, tmp_path)
    environment.install("pytest")
    environment.run(tmp_path / "shop", "pytest", "-q")
