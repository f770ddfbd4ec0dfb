"""Downloads wheels for Lambda's machine; nothing is compiled, so Docker is not needed.

pip is asked for binary wheels of Lambda's Python, processor and C library. A package without such a wheel (it
would have to be compiled) is refused, with advice.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tidemill_cdk.problems import DeployError

MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
_AMAZON_LINUX_2 = ("3.11",)  # glibc 2.26; Lambda's later Pythons run on Amazon Linux 2023, glibc 2.34
_MANY = ("2_17", "2_26"), ("2_17", "2_28", "2_34")


def install(requirements: Path, folder: Path, *, python: str, architecture: str, locked: bool) -> None:
    """Install the packages of a requirements file into `folder`, for Lambda's `python` ("3.13").

    `locked`: the file names every package, with hashes. Raises DeployError with pip's error.
    """
    machine = MACHINES[architecture]
    versions = _MANY[0] if python in _AMAZON_LINUX_2 else _MANY[1]
    platforms = [f"manylinux2014_{machine}", *(f"manylinux_{version}_{machine}" for version in versions)]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--target", str(folder), "--no-compile", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", python),
        *(word for platform in platforms for word in ("--platform", platform)),
        *(("--require-hashes", "--no-deps") if locked else ()),
        *("--requirement", requirements.name),
    ]
    # In the file's folder, so that relative paths in it are right.
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=requirements.parent)  # noqa: S603  # our own interpreter
    if done.returncode:
        raise DeployError(_explained(done.stderr, requirements, python, architecture))


def _explained(said: str, requirements: Path, python: str, architecture: str) -> str:
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    what = lines[-1] if lines else said.strip()[-500:] or "pip said nothing"
    if "No module named pip" in said:
        advice = "install pip into this environment: python -m ensurepip, or pip install 'tidemill[cdk]'"
    elif "No matching distribution" in said:
        advice = (
            f"either no package registry can be reached, or there is no wheel for Python {python} on {architecture}:"
            " ask for a version that has one, or bring the package in the app's own folder"
        )
    else:
        advice = "put that right, and run it again"
    return f"{requirements}: its packages could not be fetched for Lambda ({what}); {advice}"
